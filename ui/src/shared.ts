// What most pages use, loaded with the frame: see build.mjs.

import "./keep.js";
import "./parts/choice.js";
import "./parts/dialog.js";
import "./parts/heading.js";
import "./repeated.js";
import "./session/query.js";
import "./styled.js";
