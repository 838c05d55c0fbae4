// The watch page: the player, with the channel's title and state below it.

import "../style/base.css";
import "./watch.css";
import { assetOf, channelOf, wishes } from "../player/address";
import { setText } from "../player/dom";
import { preloadEngine } from "../player/make-engine";
import { exposeFigures, Player } from "../player/player";
import { stateLine } from "../player/words";

function byId(id: string): HTMLElement {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`no #${id} in this page`);
  return node;
}

const asset = assetOf(location.pathname);
const channel = asset === "" ? channelOf(location.pathname) : asset;
const title = byId("title");
const state = byId("state");

if (channel === "") {
  setText(title, "There is nothing at this address");
  setText(state, "A watch page is /watch/ and the name of a channel.");
  byId("shortcuts").hidden = true;
} else {
  void preloadEngine().catch(() => undefined);
  const player = new Player(byId("player"), {
    channel,
    ...(asset === "" ? {} : { asset }),
    ...wishes(location.search),
    keys: "page",
    onChange: (view, name) => {
      setText(title, name);
      setText(state, stateLine(view, asset !== ""));
      state.dataset.view = asset !== "" && view === "live" ? "recorded" : view;
      const onAir = asset === "" && (view === "live" || view === "reconnecting");
      document.title = onAir ? `${name} · live` : name;
    },
  });
  byId("shortcuts").addEventListener("click", () => player.showHelp());
  exposeFigures(player);
}
