import { describe, expect, test } from "vitest";
import { parseSheets, tileAt, unlistedTile } from "./storyboard";

const LIST = `#EXTM3U
#EXT-X-TARGETDURATION:60
#EXT-X-IMAGES-ONLY
#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:00.000Z
#EXT-X-TILES:RESOLUTION=256x144,LAYOUT=1x12,DURATION=5
#EXTINF:60,
storyboard-1.jpg
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:05:00.000Z
#EXT-X-TILES:RESOLUTION=256x144,LAYOUT=1x12,DURATION=5
#EXTINF:60,
../demo-1/storyboard-5.jpg?tiles=2
`;

describe("storyboard", () => {
  const sheets = parseSheets(LIST, "http://host/vod/clip/storyboard.m3u8");

  test("a moment has the tile of its five seconds", () => {
    const tile = { url: "http://host/vod/clip/storyboard-1.jpg", x: 0, width: 256, height: 144 };
    expect(tileAt(sheets, 60_000)).toEqual({ ...tile, y: 0 });
    expect(tileAt(sheets, 64_999)).toEqual({ ...tile, y: 0 });
    expect(tileAt(sheets, 119_999)).toEqual({ ...tile, y: 11 * 144 });
    expect(tileAt(sheets, 305_000)?.url).toBe("http://host/vod/demo-1/storyboard-5.jpg?tiles=2");
  });

  test("before, between and after them there is none", () => {
    for (const time of [59_999, 120_000, 299_999, 360_000]) expect(tileAt(sheets, time)).toBeNull();
  });

  test("other texts are no sheets", () => {
    for (const text of ["", "<html>", "#EXTM3U\n#EXTINF:2,\n1.m4s", LIST.replaceAll("1x12", "x")]) {
      expect(parseSheets(text, "http://host/")).toEqual([]);
    }
  });

  test("older ones than listed are named after their minute, where names are minutes", () => {
    const tile = unlistedTile(sheets, 20_000);
    expect(tile).toEqual({
      url: "http://host/vod/clip/storyboard-0.jpg",
      x: 0,
      y: 4 * 144,
      width: 256,
      height: 144,
    });
    expect(unlistedTile([], 20_000)).toBeNull();
    const other = sheets.map((sheet) => ({ ...sheet, url: "http://host/sheet.jpg" }));
    expect(unlistedTile(other, 20_000)).toBeNull();
  });
});
