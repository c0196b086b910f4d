/** A thin, typed client of Tally. */

import type { DescMethodServerStreaming, DescMethodUnary } from "@bufbuild/protobuf";

import { type Addresses, Calls, type TallyOptions } from "./calls.js";
import type { CallOptions } from "./types.js";
import { LEFT_OUT, SERVICES, type Services } from "./gen/services.js";

export type { Addresses, TallyOptions, Token } from "./calls.js";
export { type Failure, type FieldViolation, TallyError } from "./error.js";
export * from "./gen/errors.js";
export type { Services } from "./gen/services.js";
export type { CallOptions, ServiceClient } from "./types.js";

// The class below has the services as properties; the constructor puts them there.
export interface Tally extends Services {}

/**
 * The clients of all gRPC services, by name: `tally.wallet.createWallet({ … })`.
 *
 * A request that takes a request id and has none gets one, which is kept over retries. What
 * fails is thrown as a `TallyError`, of the class that its reason has.
 */
export class Tally {
  readonly #calls: Calls;

  constructor(addresses: Addresses, options: TallyOptions = {}) {
    this.#calls = new Calls(addresses, options);
    for (const [name, service] of Object.entries(SERVICES)) {
      Object.defineProperty(this, name, { value: clientOf(this.#calls, service) });
    }
  }

  /** Closes the channels; calls in flight go on to their end. */
  close(): void {
    this.#calls.close();
  }
}

function clientOf(calls: Calls, service: (typeof SERVICES)[keyof typeof SERVICES]): object {
  const client: Record<string, unknown> = {};
  for (const method of service.methods) {
    if (LEFT_OUT.has(`${service.typeName}/${method.name}`)) {
      continue;
    }
    const unary = method as DescMethodUnary;
    const streaming = method as DescMethodServerStreaming; // Those that stream requests are left out.
    client[method.localName] =
      method.methodKind === "unary"
        ? (request: object, options: CallOptions = {}) => calls.unary(unary, request, options)
        : (request: object, options: CallOptions = {}) => calls.stream(streaming, request, options);
    if (method.localName.startsWith("list")) {
      client[method.localName.replace("list", "iter")] = (
        request: object = {},
        options: CallOptions = {},
      ) => calls.pages(unary, request, options);
    }
  }
  return client;
}
