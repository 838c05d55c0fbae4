// The player by itself, for a frame in somebody's page.

import "../style/base.css";
import "./embed.css";
import { channelOf, wishes } from "../player/address";
import { preloadEngine } from "../player/make-engine";
import { exposeFigures, Player } from "../player/player";

const channel = channelOf(location.pathname);
const wish = wishes(location.search);
const container = document.getElementById("player");
if (container === null) throw new Error("no #player in this page");
if (wish.autoplay) void preloadEngine().catch(() => undefined);
const player = new Player(container, {
  channel,
  ...wish,
  keys: "page",
  onChange: (_, name) => {
    document.title = name;
  },
});
exposeFigures(player);
