/** Stands between the driver and its agent: notes what is asked, and lets a test fail, hold back or change it. */
import type { AgentApi } from '../../src/csi/agent-api.js';

type Method = keyof AgentApi;
type Instead<M extends Method> = (
  ask: () => ReturnType<AgentApi[M]>,
  ...args: Parameters<AgentApi[M]>
) => ReturnType<AgentApi[M]>;

export class Interposer {
  /** "deleteVolume", with its arguments. */
  readonly asked: [Method, ...unknown[]][] = [];
  readonly api: AgentApi;
  readonly #instead = new Map<Method, Instead<Method>>();

  constructor(behind: AgentApi) {
    this.api = new Proxy(behind, {
      get: (target, name) => {
        const method = name as Method;
        const original = target[method] as (...args: unknown[]) => Promise<never>;
        return (...args: unknown[]) => {
          this.asked.push([method, ...args]);
          const ask = (): Promise<never> => original.apply(target, args);
          const instead = this.#instead.get(method);
          return instead === undefined ? ask() : instead(ask, ...(args as never));
        };
      },
    });
  }

  /** From now on; the last one counts. */
  on<M extends Method>(method: M, instead: Instead<M>): void {
    this.#instead.set(method, instead);
  }

  off(method: Method): void {
    this.#instead.delete(method);
  }

  /** How often it was asked. */
  count(method: Method): number {
    return this.asked.filter(([name]) => name === method).length;
  }

  /** Holds requests back until `release`; `reached` resolves when the first one is there. */
  gate(method: Method): { reached: Promise<void>; release: () => void } {
    let release = (): void => undefined;
    let arrive = (): void => undefined;
    const opened = new Promise<void>((resolve) => (release = resolve));
    const reached = new Promise<void>((resolve) => (arrive = resolve));
    const hold = async (ask: () => Promise<unknown>): Promise<unknown> => {
      arrive();
      await opened;
      return ask();
    };
    this.#instead.set(method, hold as unknown as Instead<Method>);
    return {
      reached,
      release: () => {
        this.off(method);
        release();
      },
    };
  }
}
