// What most pages use, loaded with the frame: see build.mjs.

import "lit/directives/repeat.js";
import "./keep.js";
import "./parts/choice.js";
import "./parts/dialog.js";
import "./parts/heading.js";
import "./read-again.js";
import "./repeated.js";
import "./session/query.js";
import "./session/ranges.js";
import "./styled.js";
