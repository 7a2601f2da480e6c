// What all elements look like: colours as custom properties of the document, and one sheet that every part adopts.

import { css, unsafeCSS, type CSSResult } from "lit";

const LIGHT = `
  --ink: #1b2227; --faint: #55616a; --paper: #f7f8f6; --panel: #ffffff; --line: #d5dad7; --field: #87928d;
  --accent: #0b6b5d; --accent-ink: #ffffff; --soft: #e3f0ed; --danger: #a3271f; --danger-ink: #ffffff;
  --danger-soft: #fbe9e7; --warn: #7a5200; --warn-soft: #fcf1d9; --good: #1c6b33; --info: #1f5c9e;
  --curve-0: #1f6fb4; --curve-1: #c2410c; --curve-2: #15803d; --curve-3: #9333ea; --curve-4: #b91c5c;
  --curve-5: #0e7490; --curve-6: #8a6100; --curve-7: #4b5563;
  --shadow: 0 1px 2px #0001, 0 6px 24px #0002;`;
const DARK = `
  --ink: #e4e8e7; --faint: #a3afb2; --paper: #12171a; --panel: #1a2124; --line: #333d41; --field: #76848a;
  --accent: #5cc9b5; --accent-ink: #06201b; --soft: #1d3330; --danger: #f2938b; --danger-ink: #2b0906;
  --danger-soft: #3a1f1d; --warn: #e5b863; --warn-soft: #332a17; --good: #7fcf95; --info: #86b9f2;
  --curve-0: #6db3f2; --curve-1: #fb9a5b; --curve-2: #6fd18d; --curve-3: #c59bf7; --curve-4: #f58ab3;
  --curve-5: #5fd0e0; --curve-6: #e2bd55; --curve-7: #b3bcc4;
  --shadow: 0 1px 2px #0006, 0 6px 24px #0009;`;

/** The sheet of the document itself. */
export const documentSheet: CSSResult = css`
  :root {
    ${unsafeCSS(LIGHT)}
    color-scheme: light;
    --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
    --gap: 1rem;
  }
  :root[data-theme="dark"] {
    ${unsafeCSS(DARK)}
    color-scheme: dark;
  }
  body {
    margin: 0;
    background: var(--paper);
    color: var(--ink);
    font:
      15px/1.5 system-ui,
      sans-serif;
    -webkit-text-size-adjust: 100%;
  }
`;

/** The sheet of every part. */
export const shared: CSSResult = css`
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  :host {
    display: block;
  }
  :host([hidden]),
  [hidden] {
    display: none !important;
  }
  h1,
  h2,
  h3 {
    line-height: 1.25;
    margin: 0 0 0.5rem;
    overflow-wrap: anywhere;
  }
  h1 {
    font-size: 1.5rem;
  }
  h2 {
    font-size: 1.1rem;
    margin-top: 1.25rem;
  }
  h3 {
    font-size: 0.95rem;
    margin-top: 1rem;
  }
  p {
    margin: 0.5rem 0;
  }
  a {
    color: var(--accent);
    text-underline-offset: 0.15em;
  }
  code,
  pre,
  .mono {
    font-family: var(--mono);
    font-size: 0.9em;
  }
  pre {
    background: var(--panel);
    border: 1px solid var(--line);
    border-radius: 6px;
    padding: 0.75rem 1rem;
    overflow-x: auto;
    margin: 0.5rem 0;
  }
  .faint {
    color: var(--faint);
  }
  .number {
    text-align: right;
    font-variant-numeric: tabular-nums;
  }
  .panel {
    background: var(--panel);
    border: 1px solid var(--line);
    border-radius: 8px;
    padding: 0.9rem 1rem;
  }
  .row {
    display: flex;
    flex-wrap: wrap;
    gap: 0.5rem;
    align-items: center;
  }
  .spread {
    justify-content: space-between;
  }
  .row + p-picture,
  p-picture + details,
  section + details,
  form + details {
    margin-top: 0.75rem;
  }
  .grid {
    display: grid;
    grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr));
    gap: var(--gap);
  }
  button,
  .button,
  input,
  select,
  textarea {
    font: inherit;
    color: inherit;
    border-radius: 6px;
    border: 1px solid var(--field);
    background: var(--panel);
    padding: 0.35rem 0.7rem;
    min-height: 2.2rem;
  }
  input[type="checkbox"],
  input[type="radio"] {
    min-height: 0;
    width: 1.1rem;
    height: 1.1rem;
    padding: 0;
    margin: 0;
    accent-color: var(--accent);
    vertical-align: middle;
  }
  input[type="range"] {
    padding: 0;
    border: 0;
    background: none;
    accent-color: var(--accent);
  }
  ::placeholder {
    color: var(--faint);
    opacity: 1;
  }
  button,
  .button {
    cursor: pointer;
    display: inline-flex;
    align-items: center;
    gap: 0.4rem;
    text-decoration: none;
    white-space: nowrap;
  }
  button:hover:not(:disabled),
  .button:hover {
    border-color: var(--accent);
  }
  button.primary,
  .button.primary {
    background: var(--accent);
    border-color: var(--accent);
    color: var(--accent-ink);
    font-weight: 600;
  }
  button.danger {
    color: var(--danger);
    border-color: var(--danger);
  }
  button.danger.primary {
    background: var(--danger);
    color: var(--danger-ink);
  }
  button.plain {
    border-color: transparent;
    background: none;
  }
  button:disabled {
    cursor: not-allowed;
    color: var(--faint);
    background: none;
    border: 1px dashed var(--line);
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }
  label.field {
    display: block;
    margin: 0.6rem 0;
  }
  label.field > span:first-child {
    display: block;
    font-weight: 600;
    margin-bottom: 0.2rem;
  }
  label.field > input:not([type="checkbox"]),
  label.field > select,
  label.field > textarea {
    width: 100%;
  }
  label.check {
    display: inline-flex;
    gap: 0.45rem;
    align-items: center;
  }
  fieldset {
    border: 1px solid var(--line);
    border-radius: 8px;
    margin: 0.75rem 0;
    padding: 0.5rem 1rem 0.75rem;
    min-width: 0;
  }
  legend {
    font-weight: 600;
    padding: 0 0.3rem;
  }
  table {
    border-collapse: collapse;
    width: 100%;
  }
  th,
  td {
    text-align: left;
    padding: 0.35rem 0.6rem;
    border-bottom: 1px solid var(--line);
    vertical-align: top;
  }
  th {
    font-weight: 600;
    color: var(--faint);
  }
  .scroll {
    overflow: auto;
  }
  dl.facts {
    display: grid;
    grid-template-columns: max-content minmax(0, 1fr);
    gap: 0.2rem 1rem;
    margin: 0.5rem 0;
  }
  dl.facts dt {
    color: var(--faint);
  }
  dl.facts dd {
    margin: 0;
    overflow-wrap: anywhere;
  }
  .tag,
  .state {
    display: inline-block;
    border-radius: 999px;
    padding: 0 0.55rem;
    font-size: 0.85rem;
    border: 1px solid var(--line);
    background: var(--paper);
    white-space: nowrap;
  }
  .state {
    font-weight: 600;
    border-color: currentColor;
    background: none;
  }
  .state.started {
    color: var(--info);
  }
  .state.completed {
    color: var(--good);
  }
  .state.paused {
    color: var(--warn);
  }
  .state.failed {
    color: var(--danger);
  }
  .state.created,
  .state.stopped {
    color: var(--faint);
  }
  progress {
    accent-color: var(--accent);
    width: 100%;
    height: 0.6rem;
  }
  .hidden-text {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  @media (prefers-reduced-motion: reduce) {
    *,
    *::before,
    *::after {
      transition: none !important;
      animation: none !important;
      scroll-behavior: auto !important;
    }
  }
`;
