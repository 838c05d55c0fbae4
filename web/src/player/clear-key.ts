// The keys of a protected channel, for hls.js: each playlist says where its keys lie, beside the media and behind the same
// right to watch, so nothing else has to be known. Browsers decrypt on secure pages alone (https, or this machine).

import type { HlsConfig } from "hls.js";

const CLEAR_KEY_SYSTEM = "org.w3.clearkey";

/**
 * A playlist as hls.js decrypts it. It reads keys of the format `identity` for MPEG-2 TS alone; of CMAF the browser
 * decrypts, and keys have to be those of a key system.
 */
export function forKeySystem(playlist: string): string {
  return playlist.replace(
    /^(#EXT-X-(?:SESSION-)?KEY:METHOD=SAMPLE-AES,.*\b([0-9a-f]{32})\.key\b.*),KEYFORMAT="identity"/gim,
    `$1,KEYFORMAT="${CLEAR_KEY_SYSTEM}",KEYID=0x$2`,
  );
}

const base64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

/** A request's initialization data of the type `keyids` (W3C, Initialization Data Format Registry). */
export function keyIds(id: Uint8Array): string {
  return JSON.stringify({ kids: [base64url(id)] });
}

/** A licence: a JSON Web Key Set of one key (W3C Encrypted Media Extensions 9.1.4). */
export function licence(id: Uint8Array, key: Uint8Array): string {
  return JSON.stringify({ keys: [{ kty: "oct", kid: base64url(id), k: base64url(key) }], type: "temporary" });
}

const bytesOf = (text: string): ArrayBuffer => new TextEncoder().encode(text).buffer;

/** hls.js's settings. A channel whose keys come from a provider's key system stays dark: this page has no licence of it. */
export const CLEAR_KEY = {
  emeEnabled: true,
  drmSystems: {
    [CLEAR_KEY_SYSTEM]: {
      // Where it lies is the playlist's to say; see below.
      licenseUrl: "key",
      generateRequest: (initDataType, initData, context) => {
        const { keyId } = context.decryptdata;
        return keyId === null
          ? { initDataType, initData }
          : { initDataType: "keyids", initData: bytesOf(keyIds(keyId)) };
      },
    },
  },
  licenseXhrSetup: (request, _url, context) => {
    request.open("GET", context.decryptdata.uri);
  },
  licenseResponseCallback: (request, _url, context) => {
    const { keyId } = context.decryptdata;
    return keyId === null ? request.response : bytesOf(licence(keyId, new Uint8Array(request.response)));
  },
} satisfies Partial<HlsConfig>;

/** Whether hls.js gave up because of keys, by what it says of the failure. */
export function isOfKeys(failure: string): boolean {
  return failure.startsWith("key");
}
