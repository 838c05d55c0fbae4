// The picture that stands for an asset: its poster, else the first tile of its storyboard (clips), else nothing.

import { useEffect, useRef, useState } from "preact/hooks";
import { showTile } from "../player/scrubber";
import { parseSheets, tileAt } from "../player/storyboard";
import type { Asset } from "./assets";

export function Poster({ asset }: { asset: Asset }) {
  const [failed, setFailed] = useState(asset.kind === "clip");
  const box = useRef<HTMLDivElement>(null);
  const { id, start } = asset;
  useEffect(() => {
    if (!failed || start === null) return;
    const ended = new AbortController();
    const url = new URL(`/vod/${id}/storyboard.m3u8`, location.href).href;
    const read = async () => {
      const response = await fetch(url, { signal: ended.signal });
      const tile = response.ok ? tileAt(parseSheets(await response.text(), url), start) : null;
      if (tile !== null && box.current !== null) showTile(box.current, tile, box.current.clientWidth);
    };
    read().catch(() => undefined);
    return () => ended.abort();
  }, [failed, id, start]);
  return failed ? (
    <div class="poster" ref={box} />
  ) : (
    <img class="poster" src={`/vod/${id}/poster.jpg`} alt="" loading="lazy" onError={() => setFailed(true)} />
  );
}
