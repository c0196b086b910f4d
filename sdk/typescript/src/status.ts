/** From a gRPC status with its details to an error that can be caught by class. */

import { fromBinary } from "@bufbuild/protobuf";
import { type GenMessage } from "@bufbuild/protobuf/codegenv2";
import { type Any, anyIs } from "@bufbuild/protobuf/wkt";
import { type Message } from "@bufbuild/protobuf";
import { type ServiceError, status } from "@grpc/grpc-js";

import { TallyError } from "./error.js";
import { BY_CODE, BY_REASON } from "./gen/errors.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

const DOMAIN = "tally";
const DETAILS_KEY = "grpc-status-details-bin";

/** Tells whether gRPC itself says so: else the call was never made, and what was thrown stands. */
export function isStatus(failed: unknown): failed is ServiceError {
  return failed instanceof Error && "code" in failed && "metadata" in failed;
}

/** Returns the error that a failed call means; `requestId` is the one that was sent. */
export function errorOf(failed: ServiceError, requestId: string): TallyError {
  const details = detailsOf(failed);
  const info = find(details, ErrorInfoSchema);
  const known = info?.domain === DOMAIN ? info : undefined;
  const delay = find(details, RetryInfoSchema)?.retryDelay;
  const code = status[failed.code] ?? "UNKNOWN";
  const reason = known?.reason ?? "";
  const Class = BY_REASON[reason] ?? BY_CODE[code] ?? TallyError;
  const failure = {
    code,
    reason,
    message: failed.details,
    metadata: known?.metadata ?? {},
    fieldViolations: find(details, BadRequestSchema)?.fieldViolations ?? [],
    requestId,
    retryDelayMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
  };
  return new Class(failure, { cause: failed });
}

function detailsOf(failed: ServiceError): Any[] {
  const [packed] = failed.metadata.get(DETAILS_KEY);
  if (packed === undefined || typeof packed === "string") {
    return [];
  }
  try {
    return fromBinary(StatusSchema, packed).details;
  } catch {
    return []; // Something between us and the service wrote it; the code still stands.
  }
}

function find<T extends Message>(details: Any[], schema: GenMessage<T>): T | undefined {
  const found = details.find((detail) => anyIs(detail, schema));
  return found && fromBinary(schema, found.value);
}
