/**
 * Staging over the fake devices for a CO that looks at the machine: a target path is a real directory or file. It keeps
 * the contract of the port.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { AurochsError } from '../../src/core/errors.js';
import type {
  BindRequest,
  NodeStaging,
  StagedUsage,
  StageRequest,
} from '../../src/volume/ports.js';
import { type FakeNode, FakeStaging } from './fake-node.js';

export class DirectoryStaging implements NodeStaging {
  readonly #staged: FakeStaging;
  readonly #stages = new Map<string, StageRequest>(); // By volume and path.
  readonly #binds = new Map<string, BindRequest>(); // By target path.

  constructor(node: FakeNode) {
    this.#staged = new FakeStaging(node);
  }

  stage(request: StageRequest): Promise<string> {
    const key = `${request.volume} ${request.path}`;
    const there = this.#stages.get(key);
    if (there !== undefined && there.kind !== request.kind) {
      throw new AurochsError('ALREADY_EXISTS', `${key}: staged as something else`);
    }
    this.#stages.set(key, request);
    return this.#staged.stage(request);
  }

  async unstage(volume: string, path: string): Promise<void> {
    const bound = [...this.#binds.values()].find((each) => each.volume === volume);
    if (bound !== undefined) throw new AurochsError('BUSY', `bound at ${bound.targetPath}`);
    this.#stages.delete(`${volume} ${path}`);
    await this.#staged.unstage(volume, path);
  }

  async bind(request: BindRequest): Promise<void> {
    const { volume, stagingPath, targetPath, kind, exclusive } = request;
    if (this.#stages.get(`${volume} ${stagingPath}`)?.kind !== kind) {
      throw new AurochsError('FAILED_PRECONDITION', `${volume} is not staged at ${stagingPath}`);
    }
    const there = this.#binds.get(targetPath);
    if (there !== undefined && there.readOnly !== request.readOnly) {
      throw new AurochsError('ALREADY_EXISTS', `${targetPath}: bound otherwise`);
    }
    const others = [...this.#binds.values()].filter(
      (each) => each.volume === volume && each.targetPath !== targetPath,
    );
    if (exclusive && others.length > 0) {
      throw new AurochsError('FAILED_PRECONDITION', `${volume} is bound elsewhere`);
    }
    await this.#staged.bind(request);
    this.#binds.set(targetPath, request);
    if (existsSync(targetPath)) return;
    mkdirSync(kind === 'block' ? dirname(targetPath) : targetPath, { recursive: true });
    if (kind === 'block') writeFileSync(targetPath, '');
  }

  async unbind(volume: string, targetPath: string): Promise<void> {
    await this.#staged.unbind(volume, targetPath);
    this.#binds.delete(targetPath);
    rmSync(targetPath, { recursive: true, force: true });
  }

  async usage(volume: string, path: string): Promise<StagedUsage> {
    this.#refuseElsewhere(volume, path);
    return this.#staged.usage(volume, path);
  }

  async grow(volume: string, path: string): Promise<void> {
    this.#refuseElsewhere(volume, path);
    await this.#staged.grow(volume, path);
  }

  #refuseElsewhere(volume: string, path: string): void {
    const isThere = this.#stages.has(`${volume} ${path}`) || this.#binds.get(path) !== undefined;
    if (!isThere) throw new AurochsError('NOT_FOUND', `${volume} is not at ${path}`);
  }
}
