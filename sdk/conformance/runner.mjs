/**
 * Runs the conformance cases with the installed TypeScript client: `node runner.mjs RUN.json`.
 *
 * RUN.json names the case files and, for each case, where its services are and its tokens (see
 * README.md). Prints a line a case, "passed NAME" or "failed NAME: why"; fails if one failed.
 */

import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

import { createRegistry, fromJson, toJson } from "@bufbuild/protobuf";
import { credentials } from "@grpc/grpc-js";
import { Tally, TallyError } from "tally-client";

const EVENTUALLY_MS = 60_000;
const DEADLINE_MS = 60_000; // Of a client whose case does not look at it, on a busy machine.

/** An answer or an error is not what the case expects. */
class Mismatch extends Error {}

/** One case: its client, and the variables that its steps share. */
class Case {
  constructor(stated, run) {
    this.steps = stated.steps;
    this.variables = { ...run.variables };
    let taken = 0;
    const next = () => run.tokens[taken++ % run.tokens.length];
    const options = {
      token: stated.token === "fresh" ? next : next(),
      deadlineMs: stated.deadlineMs ?? DEADLINE_MS,
    };
    if (run.certificate !== undefined) {
      options.credentials = credentials.createSsl(Buffer.from(run.certificate));
    }
    this.client = new Tally(run.addresses, options);
  }

  /** Takes the steps in order; throws a Mismatch at the first that goes otherwise. */
  async run() {
    try {
      for (const [index, step] of this.steps.entries()) {
        try {
          for (let time = 0; time < (step.times ?? 1); time++) {
            await this.eventually(step);
          }
        } catch (error) {
          throw error instanceof Mismatch
            ? new Mismatch(`step ${index + 1}: ${error.message}`)
            : error;
        }
      }
    } finally {
      this.client.close();
    }
  }

  /** Takes the step; one that says "eventually" again and again, until it goes right. */
  async eventually(step) {
    const deadline = Date.now() + (step.eventually ? EVENTUALLY_MS : 0);
    for (;;) {
      try {
        return await this.step(step);
      } catch (error) {
        if (!(error instanceof Mismatch) || Date.now() >= deadline) {
          throw error;
        }
      }
      await sleep(100);
    }
  }

  async step(step) {
    let answer;
    try {
      answer = await this.ask(step);
    } catch (error) {
      if (!(error instanceof TallyError)) {
        throw error;
      }
      if (!step.error) {
        throw new Mismatch(`${error.constructor.name}: ${error.code} ${error.message}`);
      }
      return check(seen(error), this.filled(step.error), "error");
    }
    if (step.error) {
      throw new Mismatch(`no error, but ${JSON.stringify(answer)}`);
    }
    check(answer, this.filled(step.expect ?? step.expectEach), "answer");
    for (const [name, path] of Object.entries(step.save ?? {})) {
      this.variables[name] = path.split(".").reduce((found, part) => found[part], answer);
    }
  }

  /** Makes the step's call; an iteration gives an array. */
  async ask(step) {
    const [, pack, service, method] = /^(.+)\.(\w+)Service\/(\w+)$/.exec(step.call ?? step.iterate);
    const contract = await import(`tally-client/${pack.replace(".", "/")}`);
    const schemas = createRegistry(
      ...Object.values(contract).filter((one) => one?.kind === "message"),
    );
    const plain = (message) => toJson(schemas.getMessage(message.$typeName), message);
    const request = fromJson(contract[`${method}RequestSchema`], this.filled(step.request ?? {}));
    const options = step.timeoutMs === undefined ? {} : { timeoutMs: step.timeoutMs };
    const client = this.client[local(service)];
    if (step.call) {
      return plain(await client[local(method)](request, options));
    }
    const items = [];
    for await (const item of client[local(method).replace(/^list/, "iter")](request, options)) {
      items.push(plain(item));
    }
    return items;
  }

  /** Returns the value with "${name}" replaced, in all its texts. */
  filled(value) {
    if (typeof value === "string") {
      return value.replace(/\$\{([^}]+)\}/g, (_, name) => this.variable(name));
    }
    if (Array.isArray(value)) {
      return value.map((one) => this.filled(one));
    }
    if (typeof value === "object" && value !== null) {
      const entries = Object.entries(value);
      return Object.fromEntries(entries.map(([key, one]) => [key, this.filled(one)]));
    }
    return value;
  }

  variable(name) {
    if (name.startsWith("uuid:")) {
      this.variables[name] ??= crypto.randomUUID();
    }
    if (!(name in this.variables)) {
      throw new Error(`no variable ${name}`);
    }
    return this.variables[name];
  }
}

/** Checks that `found` has all of `wanted`: of an object a part, of an array every item in order. */
function check(found, wanted, where) {
  const object = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  if (object(wanted) && object(found)) {
    for (const [key, value] of Object.entries(wanted)) {
      check(found[key], value, `${where}.${key}`);
    }
  } else if (Array.isArray(wanted) && Array.isArray(found) && wanted.length === found.length) {
    wanted.forEach((value, index) => check(found[index], value, `${where}[${index}]`));
  } else if (!isDeepStrictEqual(found, wanted)) {
    throw new Mismatch(`${where} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  }
}

/** Returns what a case may say of an error. */
function seen(error) {
  return {
    class: error.constructor.name,
    code: error.code,
    reason: error.reason,
    metadata: error.metadata,
    fields: error.fieldViolations.map((one) => one.field),
    requestId: error.requestId,
    retryDelayMs: error.retryDelayMs,
  };
}

function local(name) {
  return name[0].toLowerCase() + name.slice(1);
}

const run = JSON.parse(await readFile(process.argv[2], "utf-8"));
for (const file of run.files) {
  for (const stated of JSON.parse(await readFile(file, "utf-8")).cases) {
    try {
      await new Case(stated, run.cases[stated.name]).run();
      console.log(`passed ${stated.name}`);
    } catch (error) {
      if (!(error instanceof Mismatch)) {
        throw error;
      }
      process.exitCode = 1;
      console.log(`failed ${stated.name}: ${error.message}`);
    }
  }
}
