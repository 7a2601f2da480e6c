// What the API answers, as its OpenAPI document has it. Whoever reads a new route adds its shapes here.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export type Kind = "session" | "task" | "experiment";
export type State = "created" | "paused" | "started" | "completed" | "stopped" | "failed";
export type Outcome = "succeeded" | "failed" | "timed_out" | "terminated" | "expired";
export const KINDS: readonly Kind[] = ["session", "task", "experiment"];
export const STATES: readonly State[] = [
  "created",
  "paused",
  "started",
  "completed",
  "stopped",
  "failed",
];

export type Progress = { [name: string]: Json };

interface Run {
  id: string;
  owner: string;
  name: string;
  tags: string[];
  state: State;
  outcome: Outcome | null;
  reason: string;
  created: number;
  updated: number;
}

interface Session extends Run {
  kind: "session";
  step: number;
  scenarios: Record<string, string[]>;
  parent: string | null;
  parent_step: number | null;
}
export interface SessionSummary extends Session {
  damage: string | null;
}
export interface SessionScenario {
  model: string;
  fingerprint: string;
  starttime: number;
  stoptime: number;
  dt: number;
  timestep: number;
  outputs: string[];
  /** What it began with, of what differs from the model. */
  constants: Record<string, number>;
  points: Record<string, Points>;
  inputs: Record<string, Json>;
}
export interface SessionRecord extends Session {
  seed: number;
  specs: Record<string, Record<string, SessionScenario>>;
  numerics: string | null;
  earlier_numerics: string[];
}

export interface ComputedBy {
  version: string | null;
  sha256: string;
  engines: string[];
  packages: Record<string, string>;
  python: string;
  numerics: string | null;
  earlier_numerics: string[];
}

export interface TaskSummary extends Run {
  kind: "task";
  task: string | null;
  attempt: number;
  progress: Progress | null;
  damage: string | null;
}
export interface TaskRecord extends Run {
  kind: "task";
  task: string;
  input: Json;
  timeout: number | null;
  desired: State;
  attempt: number;
  seconds: number;
  progress: Progress | null;
  place: number | null;
  computed_by: ComputedBy | null;
  missing: string | null;
}
export interface TaskResult {
  id: string;
  state: State;
  outcome: Outcome | null;
  reason: string;
  result: Json;
}
export interface TaskDescription {
  name: string;
  description: string;
  timeout: number | null;
  input: { [name: string]: Json };
  result: { [name: string]: Json };
}

export interface ExperimentRunSummary extends Run {
  kind: "experiment";
  attempt: number;
  progress: Progress | null;
  parent: string | null;
  experiment: string | null;
  damage: string | null;
}
export interface ExperimentRun extends Run {
  kind: "experiment";
  attempt: number;
  progress: Progress | null;
  parent: string | null;
  experiment: string;
  version: number;
  configuration: string;
  script: string | null;
  seed: number;
  sim_id: number | string;
  desired: State;
  stored: boolean;
  sources: Record<string, string>;
  computed_by: ComputedBy | null;
  missing: string | null;
}

export type RunSummary = SessionSummary | TaskSummary | ExperimentRunSummary;
export type RunRecord = SessionRecord | TaskRecord | ExperimentRun;

export interface RunList {
  runs: RunSummary[];
  next: string | null;
  total?: number | null;
}

export type Points = [number, number][];
export interface Settings {
  constants?: Record<string, number>;
  points?: Record<string, Points>;
  inputs?: Record<string, Json>;
}
/** Manager → scenario → what it is set to. */
export type AllSettings = Record<string, Record<string, Settings>>;
export interface ScenarioStep {
  time: number | null;
  values: Record<string, Json>;
}
/** A row of the step log. */
export interface StepRow {
  step: number;
  settings: AllSettings;
  results: Record<string, Record<string, ScenarioStep>>;
}
/** What one step of the log was given. */
export interface SettingsChange {
  step: number;
  settings: AllSettings;
}
export interface SettingsPage {
  changes: SettingsChange[];
  next: number | null;
}
export interface StepLog {
  steps: StepRow[];
  next: number | null;
}
export interface StepsTaken {
  run: string;
  finished: boolean;
  replayed: boolean;
  steps: { step: number; results: Record<string, Record<string, ScenarioStep>> }[];
}
/** Results of one scenario as columns. */
export interface Columns {
  step: number[];
  time: (number | null)[];
  values: Record<string, (number | null)[]>;
}
export interface SessionResults {
  results: Record<string, Record<string, Columns>>;
  next: number | null;
}

export interface Savepoint {
  timestamp: number;
  step: number;
  created: number;
  size: number;
  name: string | null;
  pinned: boolean;
  milestone: boolean;
}

/** A run of a tree of forks. */
export interface ForkNode {
  id: string;
  name: string;
  kind: Kind;
  state: State;
  parent: string | null;
  /** Of a session: the last step that it shares with its parent. */
  step?: number | null;
  /** Of an experiment: the timestamp of the savepoint that it began at. */
  savepoint?: number | null;
  /** Steps taken, of a session. */
  position?: number | null;
  created: number;
}
export interface ForkTree {
  nodes: ForkNode[];
}

/** An engine of an experiment that has a scene, and why it can't be drawn. */
export interface Scene {
  engine: string;
  simulator: string;
  world: string;
  hint: string | null;
}
export interface SceneList {
  scenes: Scene[];
}

export interface RunSpecs {
  starttime: number;
  stoptime: number;
  dt: number;
  method: string | null;
}
export interface Manager {
  model: string;
  engine: string;
  run_specs: RunSpecs;
  scenarios: Record<string, Settings & { run_specs: RunSpecs }>;
  elements: Record<string, string[]>;
  constants: Record<string, number | null>;
  points: Record<string, Points>;
  inputs: Record<string, Json>;
  /** Element → its unit, of those that have one; `time` is the model's time. */
  units: Record<string, string>;
  problems: string[];
}
export interface ManagerList {
  managers: Record<string, Manager>;
  unusable: Record<string, string>;
}

export interface FileRecord {
  path: string;
  size: number;
  modified: number;
  sha256: string;
}
export interface ExperimentSummary {
  name: string;
  created: number;
  modified: number;
  size: number;
}
export interface Experiment extends ExperimentSummary {
  files: FileRecord[];
}
/** The numbers in an experiment's data packs, by engine, pack and place, over simulation time. */
export interface DataPackSamples {
  time: number[];
  series: Record<string, (number | null)[]>;
}
export interface LogLine {
  number: number;
  time: number;
  level: string;
  text: string;
}
export interface LogLines {
  lines: LogLine[];
  next: number | null;
}

/** What `GET /events` sends when a run has changed; of a deleted one only `run` and `state`. */
export interface RunEvent {
  run: string;
  kind: Kind;
  owner: string;
  name: string;
  tags: string[];
  state: State | "deleted";
  outcome: Outcome | null;
  reason: string;
  created: number;
  updated: number;
  desired?: State;
  step?: number;
  attempt?: number;
  seconds?: number;
  place?: number | null;
  progress?: Progress | null;
  stored?: boolean;
}

/** What `POST /stop` and `POST /delete` answer. */
export interface ManyDone {
  runs: { run: string; done?: boolean; error?: { code: string; message: string } }[];
}

/** The answer of `GET /me`. */
export interface Me {
  owner: string;
  administrator: boolean;
  token_needed: boolean;
  expires: number | null;
}

/** How long something took: each bucket counts those of the buckets before, too. */
export interface Latency {
  count: number;
  seconds: number;
  buckets: { seconds: number | null; count: number }[];
}
export interface SystemServer {
  python: string;
  host: string;
  numerics: string;
  broker: "up" | "down" | null;
  store: {
    ready: boolean;
    problem: string | null;
    shared: boolean;
    ephemeral: boolean;
    bytes: Record<string, number>;
    waiting: number;
    commits: Latency;
  };
  steps: Latency;
  answers: Latency;
  live_sessions: number;
  waiting: { kind: Kind; tag: string | null; runs: number; since: number }[];
  workers:
    | {
        name: string;
        host: string;
        tags: string[] | null;
        slots: Record<string, number>;
        busy: Record<string, number>;
        runs: string[];
        lacks: string[];
      }[]
    | null;
}
/** The answer of `GET /system`; `server` is null for whoever may not see it. */
export interface System {
  version: string;
  started: number;
  queue: { kind: Kind; state: "waiting" | "working" | "paused"; runs: number }[];
  server: SystemServer | null;
}

export interface ApiErrorBody {
  error: { code: string; message: string; details: { [name: string]: Json } };
}
