// The console's entry.

import "../style/base.css";
import "./console.css";
import { render } from "preact";
import { Gate } from "./gate";

const root = document.getElementById("console");
if (root === null) throw new Error("no #console in this page");
render(<Gate />, root);
