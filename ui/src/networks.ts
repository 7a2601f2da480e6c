// Binding networks as the page writes and reads them: examples, what is asked of a network, and what was found.

import type { Json } from "./types.js";

export interface Network {
  monomers: string;
  constraints: string;
}

/** What the network is checked for; lines and columns count from 1, columns in characters. */
export interface NetworkCheck {
  syntax: "stableconfigs" | "stable_tbn";
  monomers: number;
  sites: number;
  domains: number;
  constraints: number;
  error: {
    code: string;
    message: string;
    part: "monomers" | "constraints";
    line: number;
    column: number;
  } | null;
}

/** A configuration: its polymers, each a list of monomers, each a list of words. */
export interface Found {
  polymers: string[][][];
  polymers_count: number;
  bonds: number[][][][];
}

/** The result of a task on a network, also a partial one. */
export interface Configurations {
  status: "COMPLETE" | "TimedOut";
  configs: Found[];
  count: number;
  entropy: number | null;
  optimum: number | null;
  lower: number;
  upper: number;
  bound_source: string;
  total: number | null;
  exhausted: boolean;
  conflict: string[][];
}

/** The tasks that solve networks. */
export const SOLVERS: ReadonlySet<string> = new Set(["stable_configurations", "stableconfigs"]);

/** Return whether a result is that of a network. */
export function isConfigurations(result: Json | undefined): boolean {
  return typeof result === "object" && result !== null && "configs" in result;
}

export const EXAMPLES: readonly (Network & { title: string })[] = [
  {
    title: "AND gate",
    monomers: `# The output is free if both inputs are there, and only then.
a* c* d* b* >gate
a >cap1
b >cap2
c d >output
a c >input1
b d >input2
`,
    constraints: "",
  },
  {
    title: "AND gate that keeps its output",
    monomers: `a* c* d* b* >gate
a >cap1
b >cap2
c d >output
a c >input1
b d >input2
`,
    constraints: `# How much worse is it when the gate keeps its output?
NOTFREE output
`,
  },
  {
    title: "Two grid gates, with counts",
    monomers: `# Each gate is covered by both rows or by both columns.
2[a* b* c* d* >gate]
2[a b >row1]
2[c d >row2]
2[a c >column1]
2[b d >column2]
`,
    constraints: "",
  },
  {
    title: "Constraints that can't hold together",
    monomers: `a* c* d* b* >gate
a >cap1
b >cap2
c d >output
a c >input1
b d >input2
`,
    constraints: `# Without its output and an input the gate can't be saturated.
TOGETHER gate cap1  # this one could be kept
FREE output
FREE input1
`,
  },
];
