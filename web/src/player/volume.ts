// The viewer's volume, kept between visits.

const KEY = "millstream.volume";

export interface Volume {
  level: number;
  muted: boolean;
}

export function loadVolume(): Volume {
  try {
    const value = JSON.parse(localStorage.getItem(KEY) ?? "null") as Partial<Volume> | null;
    const level = Number(value?.level ?? 1);
    return { level: level >= 0 && level <= 1 ? level : 1, muted: value?.muted === true };
  } catch {
    return { level: 1, muted: false };
  }
}

export function saveVolume(volume: Volume): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(volume));
  } catch {
    // No storage: the choice lasts as long as the page.
  }
}
