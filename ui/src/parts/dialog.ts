// Questions that have to be answered before something is done.

import { css, html } from "lit";
import { customElement, property, query } from "lit/decorators.js";
import { Part } from "../element.js";

export interface Question {
  /** What the button says that does it. */
  action?: string;
  /** Whether it can't be undone. */
  danger?: boolean;
  /** More words below the question. */
  details?: string;
}

@customElement("p-confirm")
class PConfirm extends Part {
  static override styles = [
    Part.styles,
    css`
      dialog {
        border: 1px solid var(--line);
        border-radius: 10px;
        background: var(--panel);
        color: var(--ink);
        box-shadow: var(--shadow);
        max-width: min(30rem, calc(100vw - 2rem));
        padding: 1.2rem;
      }
      dialog::backdrop {
        background: #0008;
      }
      h2 {
        margin: 0 0 0.5rem;
      }
      .row {
        justify-content: flex-end;
        margin-top: 1rem;
      }
    `,
  ];

  @property({ attribute: false }) text = "";
  @property({ attribute: false }) question: Question = {};
  @property({ attribute: false }) answer: (yes: boolean) => void = () => undefined;
  @query("dialog") private dialog!: HTMLDialogElement;

  override firstUpdated(): void {
    this.dialog.showModal();
  }

  override render() {
    const { action = "Go on", danger = false, details } = this.question;
    return html`<dialog aria-labelledby="text" @close=${this.#closed}>
      <form method="dialog">
        <h2 id="text">${this.text}</h2>
        ${details ? html`<p>${details}</p>` : ""}
        <div class="row">
          <button value="no" autofocus>Cancel</button>
          <button value="yes" class="primary ${danger ? "danger" : ""}">${action}</button>
        </div>
      </form>
    </dialog>`;
  }

  #closed(): void {
    this.answer(this.dialog.returnValue === "yes");
  }
}

/** Ask; the escape key and "Cancel" mean no. The focus goes back to where it was. */
export function confirm(text: string, question: Question = {}): Promise<boolean> {
  return new Promise((answered) => {
    const asking = document.createElement("p-confirm") as PConfirm;
    asking.text = text;
    asking.question = question;
    asking.answer = (yes) => {
      asking.remove();
      answered(yes);
    };
    document.body.append(asking);
  });
}
