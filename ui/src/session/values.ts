// <p-session-values>: what can be set in the scenarios of a session, as sliders and editors of points.

import { css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { valueOf } from "../element.js";
import { repeat } from "lit/directives/repeat.js";
import "../parts/slider.js";
import { setQuery } from "../router.js";
import type { Points } from "../types.js";
import { placeName } from "./curves.js";
import { CockpitPart } from "./observer.js";
import type { Place, SettingKind } from "./settings.js";

const ALL = "all";

@customElement("p-session-values")
export class PSessionValues extends CockpitPart {
  static override styles = [
    CockpitPart.styles,
    css`
      select {
        width: 100%;
      }
      .list {
        margin-top: 0.5rem;
      }
      .points {
        margin-top: 1rem;
      }
    `,
  ];

  /** Which scenarios are set: one as the query has it, or all of a manager. */
  @property() scope = "";
  @state() private search = "";

  override render() {
    const { cockpit } = this;
    if (!cockpit.record) return nothing;
    const scopes = this.#scopes();
    const scope = scopes.find(({ id }) => id === this.scope) ?? scopes[0];
    if (!scope) return nothing;
    const [first] = scope.places;
    const model = first && cockpit.models[first[0]];
    if (!first || !model)
      return html`<p>This server doesn't serve the model any more; nothing can be set.</p>`;
    const key = (name: string): string => `${first[0]} ${name}`;
    const constants = Object.keys(model.constants);
    const shown = constants.filter((name) =>
      name.toLowerCase().includes(this.search.toLowerCase()),
    );
    return html`
      <label class="field"
        ><span>Set in</span>
        <select @change=${(event: Event) => this.#choose(valueOf(event))}>
          ${scopes.map(({ id, name }) => html`<option value=${id} ?selected=${id === scope.id}>${name}</option>`)}
        </select>
      </label>
      ${
        constants.length > 12
          ? html`<label class="field"
              ><span>Find</span
              ><input
                type="search"
                .value=${this.search}
                @input=${(event: Event) => (this.search = valueOf(event))}
            /></label>`
          : nothing
      }
      <div class="list">
        ${repeat(shown, key, (name) => this.#slider(scope.places, first, name))}
      </div>
      ${repeat(Object.keys(model.points), key, (name) => this.#points(scope.places, first, name))}
      ${constants.length || Object.keys(model.points).length ? nothing : html`<p class="faint">The model has nothing that can be set.</p>`}
    `;
  }

  #slider(places: Place[], first: Place, name: string) {
    const { cockpit } = this;
    const values = places.map(
      (place) => cockpit.value(place, "constants", name) as number | undefined,
    );
    const differ = values.some((value) => value !== values[0]);
    const model = cockpit.models[first[0]];
    const others = [
      model?.constants[name],
      ...Object.values(model?.scenarios ?? {}).map(({ constants }) => constants?.[name]),
      ...cockpit.places
        .filter(([manager]) => manager === first[0])
        .map((place) => cockpit.inForce(place, "constants", name)),
    ].filter((it): it is number => typeof it === "number");
    return html`<p-slider
      label=${name}
      unit=${model?.units[name] ?? ""}
      .value=${values[0]}
      .inForce=${cockpit.inForce(first, "constants", name) as number | undefined}
      .others=${others}
      note=${differ ? "scenarios differ; moving it sets all" : ""}
      ?disabled=${cockpit.ended}
      @value=${(event: CustomEvent<number | null>) => this.#set(places, "constants", name, event.detail)}
    ></p-slider>`;
  }

  #points(places: Place[], first: Place, name: string) {
    void import("../parts/points.js"); // many models have none
    const { cockpit } = this;
    return html`<p-points
      class="points"
      label=${name}
      .value=${(cockpit.value(first, "points", name) as Points | undefined) ?? []}
      .inForce=${(cockpit.inForce(first, "points", name) as Points | undefined) ?? []}
      ?disabled=${cockpit.ended}
      @value=${(event: CustomEvent<Points | null>) => this.#set(places, "points", name, event.detail)}
    ></p-points>`;
  }

  #set(places: Place[], kind: SettingKind, name: string, value: number | Points | null): void {
    this.cockpit.set(places, kind, name, value ?? undefined);
  }

  #choose(id: string): void {
    this.scope = id;
    setQuery({ for: id });
  }

  #scopes(): { id: string; name: string; places: Place[] }[] {
    const { places } = this.cockpit;
    const managers = [...new Set(places.map(([manager]) => manager))];
    return managers.flatMap((manager) => {
      const own = places.filter((place) => place[0] === manager);
      const all = {
        id: `${ALL}/${manager}`,
        name: managers.length > 1 ? `all scenarios of ${manager}` : "all scenarios",
        places: own,
      };
      const single = own.map((place) => ({
        id: `one/${place.join("/")}`,
        name: placeName(place, places),
        places: [place],
      }));
      return own.length > 1 ? [all, ...single] : single;
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-session-values": PSessionValues;
  }
}
