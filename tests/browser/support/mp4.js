// The little of MP4 that tests read and change.

/**
 * The decode times of a segment's fragments, in ticks of the track (`tfdt`, ISO 14496-12 8.8.12).
 * @param {Buffer} segment @returns {{ read(): bigint, write(ticks: bigint): void }[]} what is written goes into `segment`
 */
export function timesOf(segment) {
  const found = [];
  for (let at = segment.indexOf("tfdt"); at !== -1; at = segment.indexOf("tfdt", at + 4)) {
    const place = at + 8;
    if (segment[at + 4] !== 1) throw new Error("times of 32 bits");
    found.push({
      read: () => segment.readBigUInt64BE(place),
      write: (ticks) => segment.writeBigUInt64BE(ticks, place),
    });
  }
  if (found.length === 0) throw new Error("no fragment");
  return found;
}
