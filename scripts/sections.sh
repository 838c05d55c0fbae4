# Sourced by the other scripts: section headers with timings, a summary at the end, errors in one line.
# shellcheck shell=bash

SECTION_NAMES=()
SECTION_SECONDS=()
SECTION_START=
SECTION_NAME=

# section NAME: ends the running section and begins another.
section() {
    section_end
    SECTION_NAME=$1
    SECTION_START=$SECONDS
    printf '\n==> %s\n' "$1"
}

section_end() {
    [ -n "$SECTION_NAME" ] || return 0
    local took=$((SECONDS - SECTION_START))
    printf -- '--- %s: %d s\n' "$SECTION_NAME" "$took"
    SECTION_NAMES+=("$SECTION_NAME")
    SECTION_SECONDS+=("$took")
    SECTION_NAME=
}

# sections_table: what took how long.
sections_table() {
    section_end
    printf '\n'
    local i
    for i in "${!SECTION_NAMES[@]}"; do
        printf '%6d s  %s\n' "${SECTION_SECONDS[$i]}" "${SECTION_NAMES[$i]}"
    done
}

# fail CAUSE MEND: one line on stderr, then exit 1.
fail() {
    printf 'error: %s; %s\n' "$1" "$2" >&2
    exit 1
}
