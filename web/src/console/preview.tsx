// The channel as viewers get it, small and without sound. The player is fetched when there is something to play.

import { useEffect, useRef } from "preact/hooks";

export function Preview(props: { name: string }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let closed = false;
    let destroy = () => {};
    void import("../player/player").then(({ exposeFigures, Player }) => {
      if (closed || box.current === null) return;
      const player = new Player(box.current, {
        channel: props.name,
        autoplay: true,
        muted: true,
        keys: "none",
      });
      exposeFigures(player);
      destroy = () => player.destroy();
    });
    return () => {
      closed = true;
      destroy();
    };
  }, [props.name]);
  return <div class="preview" ref={box} />;
}
