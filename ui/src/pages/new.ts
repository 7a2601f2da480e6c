// <page-new>: what can be begun.

import { css, html } from "lit";
import { customElement } from "lit/decorators.js";
import { page } from "../base.js";
import { Part } from "../element.js";

const WAYS: readonly [string, string, string][] = [
  [
    "/new/session",
    "A session",
    "Step a model yourself: choose its scenarios and the equations that are shown, move its sliders, go back and fork.",
  ],
  [
    "/new/experiment",
    "An experiment",
    "Upload a folder or a zip with engines and a script, or take one that is stored, and start, pause and stop it.",
  ],
  [
    "/new/network",
    "A binding network",
    "Paste or open monomers and constraints, checked while you write, and have the stable configurations found and drawn.",
  ],
];

@customElement("page-new")
export class PageNew extends Part {
  static override styles = [
    Part.styles,
    css`
      ul {
        list-style: none;
        padding: 0;
        margin: 1rem 0 0;
      }
      a {
        display: block;
        height: 100%;
        text-decoration: none;
        color: var(--ink);
      }
      a:hover {
        border-color: var(--accent);
      }
      h2 {
        margin: 0 0 0.3rem;
        color: var(--accent);
      }
    `,
  ];

  override render() {
    return html`<h1>Begin something new</h1>
      <ul class="grid">
        ${WAYS.map(
          ([to, title, words]) =>
            html`<li>
              <a class="panel" href=${page(to)}>
                <h2>${title}</h2>
                <span>${words}</span>
              </a>
            </li>`,
        )}
      </ul>`;
  }
}
