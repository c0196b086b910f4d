/** How a call is made: token, deadline, request id, retries, errors. */

import { setTimeout as sleep } from "node:timers/promises";

import {
  clone,
  create,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import {
  type ChannelCredentials,
  Client,
  type ClientOptions,
  credentials,
  Metadata,
} from "@grpc/grpc-js";

import { serviceConfig } from "./gen/service_config.js";
import { errorOf, isStatus } from "./status.js";
import type { TallyError } from "./error.js";
import type { CallOptions } from "./types.js";

/** A token, or what gives a fresh one before each call. */
export type Token = string | (() => string | Promise<string>);

/** Where the services are: one address for all, or host:port by service ("wallet"). */
export type Addresses = string | Readonly<Record<string, string>>;

/** How the client calls. */
export interface TallyOptions {
  /** Presented with every call as `authorization: Bearer TOKEN`; without one, calls have none. */
  readonly token?: Token;
  /** How long a call may take, retries included; 10,000 by default. */
  readonly deadlineMs?: number;
  /** TLS: `credentials.createSsl()` of @grpc/grpc-js; by default there is none. */
  readonly credentials?: ChannelCredentials;
}

const DEADLINE_MS = 10_000;
const ATTEMPTS_MAX = serviceConfig.methodConfig[0].retryPolicy.maxAttempts;
const CHANNEL_OPTIONS: ClientOptions = {
  "grpc.service_config": JSON.stringify(serviceConfig),
  "grpc.enable_retries": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.max_receive_message_length": 32 * 1024 * 1024,
  "grpc.use_local_subchannel_pool": 1, // A channel's backoff is its own.
};

/** Makes calls to the services; channels connect at first use and again after a loss. */
export class Calls {
  readonly #addresses: Addresses;
  readonly #options: TallyOptions;
  readonly #channels = new Map<string, Client>();

  constructor(addresses: Addresses, options: TallyOptions) {
    this.#addresses = addresses;
    this.#options = options;
  }

  /**
   * Sends one request and returns its answer. gRPC itself sends again what fails as UNAVAILABLE,
   * by the service config; what is RESOURCE_EXHAUSTED is sent again when the service said how
   * long to wait, and nothing else is.
   */
  async unary(method: DescMethodUnary, request: object, options: CallOptions): Promise<Message> {
    const [sent, requestId] = withRequestId(method, create(method.input, request as Shape));
    const deadline = Date.now() + (options.timeoutMs ?? this.#options.deadlineMs ?? DEADLINE_MS);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(method, sent, deadline);
      } catch (failed) {
        if (!isStatus(failed)) {
          throw failed;
        }
        const error = errorOf(failed, requestId);
        const pause = pauseBeforeRetry(error, attempt, deadline);
        if (pause === undefined) {
          throw error;
        }
        await sleep(pause);
      }
    }
  }

  /** Gives what a list holds, page after page, each asked for when it is needed. */
  async *pages(
    method: DescMethodUnary,
    request: object,
    options: CallOptions,
  ): AsyncGenerator<unknown, void, undefined> {
    const listed = method.output.fields.find((field) => field.fieldKind === "list");
    for (let pageToken: unknown; pageToken !== ""; ) {
      const asked = pageToken === undefined ? request : { ...request, pageToken };
      const answer = (await this.unary(method, asked, options)) as unknown as Shape;
      yield* answer[listed?.localName ?? ""] as unknown[];
      pageToken = answer["nextPageToken"] ?? "";
    }
  }

  /**
   * Sends one request and gives its answers as they come; without a timeout it may take as long as
   * it likes. gRPC sends the request again as for `unary`, until there is an answer.
   */
  async *stream(
    method: DescMethodServerStreaming,
    request: object,
    options: CallOptions,
  ): AsyncGenerator<Message, void, undefined> {
    const [sent, requestId] = withRequestId(method, create(method.input, request as Shape));
    const { timeoutMs } = options;
    const deadline = timeoutMs === undefined ? Infinity : Date.now() + timeoutMs;
    const channel = this.#channel(method.parent.typeName);
    const metadata = await this.#metadata();
    const answers = channel.makeServerStreamRequest(...spoken(method), sent, metadata, {
      deadline,
    });
    try {
      yield* answers as AsyncIterable<Message>;
    } catch (failed) {
      throw isStatus(failed) ? errorOf(failed, requestId) : failed;
    } finally {
      answers.cancel();
    }
  }

  /** Closes the channels; calls in flight go on to their end. */
  close(): void {
    for (const channel of this.#channels.values()) {
      channel.close();
    }
    this.#channels.clear();
  }

  async #attempt(method: DescMethodUnary, sent: Message, deadline: number): Promise<Message> {
    const channel = this.#channel(method.parent.typeName);
    const metadata = await this.#metadata();
    return new Promise((answer, fail) => {
      channel.makeUnaryRequest(...spoken(method), sent, metadata, { deadline }, (failed, message) =>
        failed ? fail(failed) : answer(message as Message),
      );
    });
  }

  /** Returns the channel to the service of the suite that has the gRPC service. */
  #channel(grpcService: string): Client {
    const service = grpcService.split(".")[1] ?? "";
    const given = this.#addresses;
    const address = typeof given === "string" ? given : given[service];
    if (!address) {
      throw new Error(`no address of the service ${service} was given`);
    }
    const open = this.#channels.get(address);
    if (open) {
      return open;
    }
    const security = this.#options.credentials ?? credentials.createInsecure();
    const channel = new Client(address, security, CHANNEL_OPTIONS);
    this.#channels.set(address, channel);
    return channel;
  }

  async #metadata(): Promise<Metadata> {
    const { token } = this.#options;
    const present = typeof token === "function" ? await token() : token;
    const metadata = new Metadata();
    if (present) {
      metadata.set("authorization", `Bearer ${present}`);
    }
    return metadata;
  }
}

/** Returns what gRPC must know of a method: its path, and how requests and answers are written. */
function spoken(method: Method) {
  const write = (message: Message) => Buffer.from(toBinary(method.input, message));
  const read = (bytes: Buffer): Message => fromBinary(method.output, bytes);
  return [`/${method.parent.typeName}/${method.name}`, write, read] as const;
}

type Method = DescMethodUnary | DescMethodServerStreaming;
type Shape = Record<string, unknown>;

/** Returns the request with a request id, if its method takes one, and that id. */
function withRequestId(method: Method, request: Message): [Message, string] {
  const field = method.input.fields.find((one) => one.name === "request_id");
  if (!field) {
    return [request, ""];
  }
  const given = reflect(method.input, request).get(field) as string;
  const requestId = given || crypto.randomUUID();
  const sent = given ? request : clone(method.input, request);
  reflect(method.input, sent).set(field, requestId);
  return [sent, requestId];
}

/** Returns how long to wait before another try, in milliseconds; undefined if there is none. */
function pauseBeforeRetry(error: TallyError, attempt: number, deadline: number) {
  const delay = error.code === "RESOURCE_EXHAUSTED" ? error.retryDelayMs : undefined;
  const late = delay === undefined || Date.now() + delay >= deadline;
  return late || attempt >= ATTEMPTS_MAX ? undefined : delay;
}
