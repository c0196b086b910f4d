/** The shape of a service's client, taken from its contract. */

import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

/** What may be said about one call. */
export interface CallOptions {
  /** How long it may take, retries included; by default the client's deadline, and a stream none. */
  readonly timeoutMs?: number;
}

interface UnaryMethod {
  methodKind: "unary";
  input: DescMessage;
  output: DescMessage;
}

interface StreamingMethod {
  methodKind: "server_streaming";
  input: DescMessage;
  output: DescMessage;
}

type Call<M> = M extends UnaryMethod
  ? (
      request: MessageInitShape<M["input"]>,
      options?: CallOptions,
    ) => Promise<MessageShape<M["output"]>>
  : M extends StreamingMethod
    ? (
        request: MessageInitShape<M["input"]>,
        options?: CallOptions,
      ) => AsyncGenerator<MessageShape<M["output"]>, void, undefined>
    : never;

/** What an answer lists: the type of its one repeated field. */
type Item<Answer> = {
  [K in keyof Answer]-?: K extends `$${string}`
    ? never
    : Answer[K] extends readonly (infer Each)[]
      ? Each
      : never;
}[keyof Answer];

type Iterate<M> = M extends UnaryMethod
  ? (
      request?: MessageInitShape<M["input"]>,
      options?: CallOptions,
    ) => AsyncGenerator<Item<MessageShape<M["output"]>>, void, undefined>
  : never;

/**
 * One method for each RPC of the service but those that are `LeftOut`; and for each
 * `listThings`, which answers one page, an `iterThings` that gives the things of all pages.
 */
export type ServiceClient<Service extends { method: object }, LeftOut extends string = never> = {
  readonly [K in Exclude<keyof Service["method"], LeftOut>]: Call<Service["method"][K]>;
} & {
  readonly [K in Exclude<
    keyof Service["method"],
    LeftOut
  > as K extends `list${infer Things}` ? `iter${Things}` : never]: Iterate<Service["method"][K]>;
};
