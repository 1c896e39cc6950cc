/** What the agent says about itself. */
import type { DoctorFinding, HealthBody } from '../api/types.js';
import type { ListenAddresses } from '../volume/exports.js';
import type { Problem, Volume } from '../volume/model.js';
import type { DiskService } from '../volume/disk-service.js';
import type { VolumeService } from '../volume/volume-service.js';

export interface HealthDeps {
  volumes: VolumeService;
  disks: DiskService;
  listen: ListenAddresses;
  apiSocket: string;
  dataDir: string;
  version: string;
  ioBackend: 'io_uring' | 'epoll';
  /** What on the machine stands in the way. */
  examine: () => Promise<DoctorFinding[]>;
}

export class Health {
  state: HealthBody['state'] = 'starting';

  constructor(private readonly deps: HealthDeps) {}

  async body(): Promise<HealthBody> {
    const volumes = await this.deps.volumes.list();
    const count = (test: (volume: Volume) => boolean): number => volumes.filter(test).length;
    const { listen } = this.deps;
    return {
      state: this.state,
      version: this.deps.version,
      pid: process.pid,
      uptimeMs: Math.round(process.uptime() * 1000),
      ioBackend: this.deps.ioBackend,
      dataDir: this.deps.dataDir,
      addresses: { iscsi: [...listen.iscsi], nbd: [...listen.nbd], api: this.deps.apiSocket },
      volumes: {
        total: volumes.length,
        attached: count((volume) => volume.state === 'attached'),
        faulted: count((volume) => volume.robustness === 'faulted'),
      },
    };
  }

  /** What stands in the way: on the machine, of a disk, of a volume. */
  async findings(): Promise<DoctorFinding[]> {
    const findings = await this.deps.examine();
    for (const disk of await this.deps.disks.list()) {
      findings.push(finding(`disk ${disk.path}`, disk.problem, `${disk.fileSystem}, sound`));
      if (disk.leftovers.length === 0) continue;
      findings.push({
        check: `disk ${disk.path}`,
        severity: 'warning',
        message: `${disk.leftovers.length} directories belong to no volume: ${disk.leftovers.slice(0, 5).join(', ')}`,
        hint: 'They may be the data of a store that was lost. Look before you remove them by hand.',
      });
    }
    for (const volume of await this.deps.volumes.list()) {
      if (volume.problem === null && volume.robustness !== 'faulted') continue;
      findings.push(finding(`volume ${volume.name}`, volume.problem, 'faulted'));
    }
    return findings;
  }
}

function finding(check: string, problem: Problem | null, sound: string): DoctorFinding {
  if (problem === null) return { check, severity: 'ok', message: sound };
  return {
    check,
    severity: 'error',
    message: problem.message,
    ...(problem.hint === undefined ? {} : { hint: problem.hint }),
  };
}
