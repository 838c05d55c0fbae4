// Builds the three pages the server embeds: the console, the watch page and the embeddable player.
import { defineConfig } from "vite";
import { mockServer } from "./dev/mock.ts";

export default defineConfig({
  appType: "mpa",
  plugins: [mockServer()],
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    // Everything is a file of its own under /assets/: the pages' policy allows no inline script.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    rolldownOptions: { input: ["index.html", "watch.html", "embed.html"] },
  },
});
