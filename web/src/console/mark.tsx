// The house's sign.

export function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path
        class="sign"
        d="M12.5 7.6v8.800a.8.8 0 0 0 1.200.7l7.400-4.400a.8.8 0 0 0 0-1.400l-7.400-4.400a.8.8 0 0 0-1.200.7Z"
      />
      <path
        class="water"
        d="M5 22c2.400-2 4.600-2 7 0s4.600 2 7 0 4.600-2 7 0M8 26.500c2-1.600 3.700-1.600 5.600 0s3.700 1.600 5.600 0 3.600-1.600 5.300-.3"
      />
    </svg>
  );
}
