/** The shape of the services: plain functions from a request to an answer, as csi.proto has them. */
import type { handleServerStreamingCall, handleUnaryCall } from '@grpc/grpc-js';

import type { ControllerHandlers } from './gen/csi/v1/Controller.js';
import type { GroupControllerHandlers } from './gen/csi/v1/GroupController.js';
import type { IdentityHandlers } from './gen/csi/v1/Identity.js';
import type { NodeHandlers } from './gen/csi/v1/Node.js';
import type { SnapshotMetadataHandlers } from './gen/csi/v1/SnapshotMetadata.js';

/** Without the index signature that grpc-js wants. */
type Named<H> = { [K in keyof H as string extends K ? never : K]: H[K] };

type Unary<H> = {
  [K in keyof Named<H>]: Named<H>[K] extends handleUnaryCall<infer Request, infer Answer>
    ? (request: Request) => Promise<Answer>
    : never;
};

type Streaming<H> = {
  [K in keyof Named<H>]: Named<H>[K] extends handleServerStreamingCall<infer Request, infer Answer>
    ? (request: Request) => AsyncGenerator<Answer>
    : never;
};

export type IdentityCalls = Unary<IdentityHandlers>;
export type ControllerCalls = Unary<ControllerHandlers>;
export type NodeCalls = Unary<NodeHandlers>;
export type GroupControllerCalls = Unary<GroupControllerHandlers>;
export type SnapshotMetadataCalls = Streaming<SnapshotMetadataHandlers>;
