// What pages with charts share, one file with the charts: see build.mjs.

import "./parts/chart.js";
import "./parts/timeline.js";
import "./session/curves.js";
import "./session/settings.js";
