// Browsers count media time in whole microseconds. Shifting media to where a list begins, they round: the first picture may
// come to lie a microsecond before the beginning, and is then thrown away with everything up to the next key frame
// (Media Source Extensions, coded frame processing, step of `appendWindowStart`). A little later it is safe.

/** So much later media lies, in seconds: no viewer sees ten microseconds. */
const LATER = 0.00001;

/** Makes every offset that is set on this buffer from now on a little larger; who reads it reads what was set. */
export function keepFirstFrame(buffer: { timestampOffset: number }): void {
  const inherited = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(buffer), "timestampOffset");
  if (inherited?.get === undefined || inherited.set === undefined) return;
  const { set } = inherited;
  let wanted = buffer.timestampOffset;
  Object.defineProperty(buffer, "timestampOffset", {
    configurable: true,
    get: () => wanted,
    set(offset: number) {
      set.call(buffer, offset + LATER);
      wanted = offset;
    },
  });
}
