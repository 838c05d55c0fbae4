// How figures are written for people: one place, so that both pages say the same thing the same way.

/** "1.2 s" below ten seconds, "14 s" above, "2 min 5 s" from a minute on. */
export function seconds(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const v = Math.max(0, value);
  if (v < 9.95) return `${v.toFixed(1)} s`;
  if (v < 59.5) return `${Math.round(v)} s`;
  return duration(v);
}

/** "45 s", "3 min 20 s", "2 h 5 min", "3 d 4 h": the two largest units. */
export function duration(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const total = Math.max(0, Math.round(value));
  const units: [number, string][] = [
    [Math.floor(total / 86400), "d"],
    [Math.floor(total / 3600) % 24, "h"],
    [Math.floor(total / 60) % 60, "min"],
    [total % 60, "s"],
  ];
  const first = units.findIndex(([n]) => n > 0);
  if (first < 0) return "0 s";
  return units
    .slice(first, first + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(" ");
}

/** "1:05", "1:02:03": a position in time. */
export function clockTime(value: number): string {
  const total = Number.isFinite(value) ? Math.max(0, Math.floor(value)) : 0;
  const two = (n: number) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** "812 MB", "1.4 GB": sizes in decimal units. */
export function byteSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "2.4 Mb/s", "128 kb/s": bit rates in decimal units, as encoders state them. */
export function bitRate(bitsPerSecond: number | null | undefined): string {
  if (bitsPerSecond == null || !Number.isFinite(bitsPerSecond)) return "–";
  if (bitsPerSecond >= 999_500)
    return `${(bitsPerSecond / 1e6).toFixed(bitsPerSecond < 9.95e6 ? 1 : 0)} Mb/s`;
  return `${Math.round(bitsPerSecond / 1000)} kb/s`;
}

/** "29.97", "30", "59.94": frames per second without needless zeros. */
export function frameRate(fps: number | null | undefined): string {
  if (fps == null || !Number.isFinite(fps)) return "–";
  return String(Math.round(fps * 100) / 100);
}

/** One entry of a quality menu as hls.js knows it. */
export interface Level {
  /** Pixels; 0 if unknown. */
  height: number;
  /** Frames per second; 0 if unknown. */
  frameRate: number;
  /** Bits per second. */
  bitRate: number;
}

/**
 * The names of a quality menu: "720p", "720p60" where the rate is above 30, with the bit rate added only where two
 * entries would read the same.
 */
export function levelNames(levels: readonly Level[]): string[] {
  const plain = levels.map((l) => {
    if (!l.height) return bitRate(l.bitRate);
    return l.frameRate > 31 ? `${l.height}p${Math.round(l.frameRate)}` : `${l.height}p`;
  });
  return plain.map((name, i) => {
    const twice = plain.filter((other) => other === name).length > 1;
    const level = levels[i];
    return twice && level?.height ? `${name}, ${bitRate(level.bitRate)}` : name;
  });
}
