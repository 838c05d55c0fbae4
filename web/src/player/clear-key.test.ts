import { expect, test } from "vitest";
import { forKeySystem, isOfKeys, keyIds, licence } from "./clear-key";

const ID = new Uint8Array([0xfb, 0xff, ...Array(14).fill(0)]);

test("requests and licences are the W3C's, in base64url without padding", () => {
  expect(JSON.parse(keyIds(ID))).toEqual({ kids: ["-_8AAAAAAAAAAAAAAAAAAA"] });
  const key = new Uint8Array(16).fill(255);
  expect(JSON.parse(licence(ID, key))).toEqual({
    keys: [{ kty: "oct", kid: "-_8AAAAAAAAAAAAAAAAAAA", k: "_____________________w" }],
    type: "temporary",
  });
});

test("keys of a playlist become those of a key system, with their ids", () => {
  const id = "a0112233445566778899aabbccddeeff";
  const line = (rest: string) => `#EXT-X-KEY:METHOD=SAMPLE-AES,URI="/live/x/${id}.key?Policy=a",${rest}`;
  const list = (rest: string) => `#EXTM3U\n${line(rest)}\n#EXTINF:2,\n1.m4s\n${line(rest)}\n`;
  expect(forKeySystem(list('KEYFORMAT="identity",IV=0x00'))).toBe(
    list(`KEYFORMAT="org.w3.clearkey",KEYID=0x${id},IV=0x00`),
  );
  for (const other of [
    list('KEYFORMAT="com.apple.streamingkeydelivery"'),
    "#EXTM3U\n#EXT-X-KEY:METHOD=NONE\n",
  ])
    expect(forKeySystem(other)).toBe(other);
});

test("failures of keys are told from others", () => {
  expect(["keySystemNoAccess", "keyLoadError"].every(isOfKeys)).toBe(true);
  expect(["manifestLoadError", "bufferStalledError", "no progress"].some(isOfKeys)).toBe(false);
});
