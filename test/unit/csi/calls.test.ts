/** What all calls have in common: locks, deadlines, statuses, logs, metrics, modes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { statSync } from 'node:fs';
import fc from 'fast-check';
import { status } from '@grpc/grpc-js';
import { AurochsError, ERROR_CODES } from '../../../src/core/errors.js';
import { GRPC_STATUS } from '../../../src/csi/grpc-status.js';
import { Locks } from '../../../src/csi/locking.js';
import { MetricsServer } from '../../../src/csi/metrics-server.js';
import type { CsiClient } from '../../support/csi-client.js';
import { withCode } from '../../support/csi-client.js';
import { CsiRig, MOUNTED } from '../../support/csi-rig.js';
import { ModelAgent } from '../../support/model-agent.js';
import { Random } from '../../support/random.js';
import { read } from '../../support/repository.js';

describe('csi: calls', () => {
  let behind: ModelAgent;
  let rig: CsiRig;
  beforeEach(async () => {
    behind = new ModelAgent();
    rig = await CsiRig.start(behind);
  });
  afterEach(() => rig.stop());

  const create = (name: string) =>
    rig.client.call('CreateVolume', { name, volumeCapabilities: [MOUNTED] });

  describe('locks', () => {
    it('let one call at a time change a volume, and others go on', async () => {
      const gate = rig.agent.gate('createVolume');
      const first = create('v');
      await gate.reached;
      await assert.rejects(create('v'), withCode('ABORTED', /another call for volume v/));
      const remove = rig.client.call('DeleteVolume', { volumeId: 'v' });
      await assert.rejects(remove, withCode('ABORTED'));
      await rig.client.call('ListVolumes', {});
      gate.release();
      await first;
      await create('w');
      await create('v');
    });

    it('hold names that mean the same volume for the same', async () => {
      const gate = rig.agent.gate('createVolume');
      const first = create('Größe');
      await gate.reached;
      await assert.rejects(create('Größe'), withCode('ABORTED'));
      gate.release();
      const { volume } = await first;
      const expanding = rig.agent.gate('expandVolume');
      const volumeId = volume.volumeId as string;
      const expand = rig.client.call('ControllerExpandVolume', {
        volumeId,
        capacityRange: { requiredBytes: String(1n << 40n) },
      });
      await expanding.reached;
      await assert.rejects(create('Größe'), withCode('ABORTED'));
      expanding.release();
      await expand;
    });

    it('keep a volume from being deleted while a snapshot of it is taken', async () => {
      await create('v');
      const gate = rig.agent.gate('createSnapshot');
      const taking = rig.snapshot('v', 's');
      await gate.reached;
      const remove = rig.client.call('DeleteVolume', { volumeId: 'v' });
      await assert.rejects(remove, withCode('ABORTED'));
      await create('w');
      const other = rig.client.call('CreateSnapshot', { sourceVolumeId: 'w', name: 's' });
      await assert.rejects(other, withCode('ABORTED', /snapshot s/));
      gate.release();
      await taking;
    });

    it('are given back when the work fails', async () => {
      const locks = new Locks();
      await assert.rejects(locks.hold(['a', 'b'], () => Promise.reject(new Error('no'))));
      assert.equal(locks.size, 0);
      await locks.hold(['a'], async () => {
        await assert.rejects(locks.hold(['b', 'a'], async () => undefined));
        assert.equal(locks.size, 1);
      });
    });
  });

  describe('a caller that gives up', () => {
    const giveUp = async (options: { deadline?: number }): Promise<number> =>
      new Promise((resolve) => {
        const request = { name: 'v', volumeCapabilities: [MOUNTED] };
        const call = rig.client.begin('CreateVolume', request, options, (error) =>
          resolve(error?.code ?? status.OK),
        );
        if (options.deadline === undefined) void gateReached.then(() => call.cancel());
      });
    let gateReached: Promise<void>;

    for (const [how, code, options] of [
      ['cancels', status.CANCELLED, () => ({})],
      ['has a deadline', status.DEADLINE_EXCEEDED, () => ({ deadline: Date.now() + 200 })],
    ] as const) {
      it(`is answered at once when it ${how}; its work goes on, and repeating meets ABORTED`, async () => {
        const gate = rig.agent.gate('createVolume');
        gateReached = gate.reached;
        assert.equal(await giveUp(options()), code);
        await assert.rejects(create('v'), withCode('ABORTED'));
        assert.equal(behind.stored.size, 0);
        gate.release();
        // The lock is given back when the volume is there.
        let volumeId = '';
        while (volumeId === '') volumeId = await create('v').then(idOf, () => '');
        assert.equal(volumeId, 'v');
        assert.equal(rig.agent.count('createVolume'), 1);
      });
    }

    const idOf = ({ volume }: { volume: { volumeId: string } }): string => volume.volumeId;

    it('keeps the server from closing before its work has ended', async () => {
      const gate = rig.agent.gate('createVolume');
      gateReached = gate.reached;
      assert.equal(await giveUp({}), status.CANCELLED);
      let closed = false;
      const closing = rig.server.close().then(() => (closed = true));
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(closed, false);
      gate.release();
      await closing;
      assert.equal(behind.stored.size, 1);
    });
  });

  describe('statuses', () => {
    it('are there for every error, and none of ours is OK, UNKNOWN or UNIMPLEMENTED', () => {
      assert.deepEqual(Object.keys(GRPC_STATUS).sort(), [...ERROR_CODES].sort());
      const never = [status.OK, status.UNKNOWN, status.UNIMPLEMENTED, status.CANCELLED];
      for (const code of Object.values(GRPC_STATUS)) assert.ok(!never.includes(code));
    });

    it('are in the documentation', () => {
      const rows = read('docs/csi-support.md').split('\n');
      for (const code of ERROR_CODES) {
        const row = rows.find((line) => line.startsWith('|') && line.includes(`\`${code}\``)) ?? '';
        const name = status[GRPC_STATUS[code]];
        assert.ok(
          row.includes(name) || (name === code && row.includes('the same')),
          `${code}: ${row}`,
        );
      }
    });

    it('say ABORTED for what passes in a moment', async () => {
      for (const code of ['BUSY', 'CONFLICT', 'ABORTED'] as const) {
        rig.agent.on('createVolume', async () => {
          throw new AurochsError(code, 'somebody is at it');
        });
        await assert.rejects(create('v'), withCode('ABORTED'));
      }
    });

    it('say UNAVAILABLE when the agent does not answer, and what to do', async () => {
      rig.agent.on('nodes', async () => {
        throw new AurochsError('UNAVAILABLE', 'no agent answers', 'Start one.');
      });
      await assert.rejects(create('v'), withCode('UNAVAILABLE', /no agent answers\. Start one\./));
    });

    it('say INTERNAL for a fault of ours, and the log has where', async () => {
      rig.agent.on('createVolume', async () => {
        throw new TypeError('x is not a function');
      });
      await assert.rejects(create('v'), withCode('INTERNAL'));
      assert.ok(rig.lines.some((line) => line.startsWith('error') && line.includes('at ')));
    });
  });

  describe('logs', () => {
    it('say of each call what it was about, how it ended and how long it took', async () => {
      await create('v');
      await assert.rejects(rig.snapshot('none', 's'));
      const [created, failed] = rig.lines.filter((line) => line.includes('csi call'));
      assert.match(
        created ?? '',
        /^info .*"method":"CreateVolume","name":"v","code":"OK","durationMs":\d+/,
      );
      assert.match(failed ?? '', /^warn .*"sourceVolumeId":"none","code":"NOT_FOUND".*"error":/);
    });

    it('never hold secrets, mount flags, parameters or contexts, nor do error messages', async () => {
      const { seed } = Random.fromEnvironment();
      console.log(`      seed ${seed}`);
      const text = fc
        .stringMatching(/^[a-zA-Z0-9!$&/()=?+*#'.:;-]{12,40}$/)
        .filter((each) => /[a-zA-Z0-9]{4}/.test(each));
      const map = fc.dictionary(fc.constantFrom('CRYPTO_KEY_VALUE', 'user', 'token'), text);
      await create('v');
      await behind.publishVolume('v', { node: behind.node.id });
      await fc.assert(
        fc.asyncProperty(map, map, fc.array(text), async (secrets, volumeContext, mountFlags) => {
          const hidden = [
            ...Object.values(secrets),
            ...Object.values(volumeContext),
            ...mountFlags,
          ];
          rig.lines.length = 0;
          // The worst agent there could be: it repeats all that it was told.
          const leaks = (): Promise<never> =>
            Promise.reject(new AurochsError('IO', `mount -o ${hidden.join(',')} failed`));
          rig.agent.on('stageVolume', leaks);
          rig.agent.on('volume', leaks);
          const capability = { ...MOUNTED, mount: { fsType: '', mountFlags } };
          const said: string[] = [];
          const note = (error: Error): number => said.push(error.message);
          const common = { volumeId: 'v', secrets, volumeContext };
          const one = { ...common, volumeCapability: capability };
          await rig.client.call('NodeStageVolume', { ...one, stagingTargetPath: '/s' }).catch(note);
          await rig.client.call('ControllerPublishVolume', { ...one, nodeId: 'n' }).catch(note);
          await rig.client
            .call('ValidateVolumeCapabilities', { ...common, volumeCapabilities: [capability] })
            .catch(note);
          assert.equal(said.length, 3);
          const all = [...rig.lines, ...said].join('\n');
          for (const each of hidden) assert.ok(!all.includes(each), `${each} in ${all}`);
        }),
        { seed, numRuns: 50 },
      );
    }).timeout(20_000);

    it('say the name of a volume also when Kubernetes repeats it among the parameters', async () => {
      const name = 'pvc-4a6f0d52-0d0b-4c53';
      await behind.createVolume({ name, size: '1GiB' });
      const parameters = { 'csi.storage.k8s.io/pv/name': name };
      const request = { name, volumeCapabilities: [MOUNTED], parameters };
      const call = rig.client.call('CreateVolume', request);
      await assert.rejects(call, withCode('ALREADY_EXISTS', new RegExp(name)));
    });

    it('never hold the values of parameters that are refused', async () => {
      for (const key of ['fsType', 'mkfsParams', 'diskSelector', 'encrypted', 'nonsense']) {
        const parameters = { [key]: 'open sesame!' };
        const call = rig.client.call('CreateVolume', {
          name: 'v',
          volumeCapabilities: [MOUNTED],
          parameters,
        });
        await assert.rejects(call, withCode('INVALID_ARGUMENT', new RegExp(key)));
      }
      assert.ok(!rig.lines.join().includes('sesame'));
    });
  });

  describe('metrics', () => {
    it('count calls by how they ended, and how long they took', async () => {
      await create('v');
      await assert.rejects(create(''));
      const server = new MetricsServer(rig.server.metrics);
      await server.listen({ host: '127.0.0.1', port: 0 });
      try {
        const { code, text } = await fetchText(server.port ?? 0, '/metrics');
        assert.equal(code, 200);
        assert.match(text, /aurochs_csi_calls_total\{method="CreateVolume",code="OK"\} 1/);
        assert.match(text, /calls_total\{method="CreateVolume",code="INVALID_ARGUMENT"\} 1/);
        assert.match(text, /_bucket\{method="CreateVolume",le="\+Inf"\} 2/);
        assert.match(text, /_count\{method="CreateVolume"\} 2/);
        assert.match(text, /aurochs_csi_calls_running 0/);
        assert.equal((await fetchText(server.port ?? 0, '/')).code, 404);
      } finally {
        await server.close();
      }
    });

    async function fetchText(port: number, path: string): Promise<{ code: number; text: string }> {
      const request = get({ host: '127.0.0.1', port, path });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      let text = '';
      for await (const chunk of response) text += String(chunk);
      return { code: response.statusCode ?? 0, text };
    }
  });

  describe('identity and modes', () => {
    const services = async (client: CsiClient): Promise<string[]> => {
      const { capabilities } = await client.call('GetPluginCapabilities', {});
      return (capabilities as { service?: { type: string } }[]).flatMap(({ service }) =>
        service === undefined || service === null ? [] : [service.type],
      );
    };

    it('say who the driver is, and whether its agent answers', async () => {
      const info = await rig.client.call('GetPluginInfo', {});
      assert.deepEqual(info, { name: 'csi.aurochs.io', vendorVersion: '1.2.3', manifest: {} });
      assert.equal((await rig.client.call('Probe', {})).ready.value, true);
      rig.agent.on('health', async (ask) => ({ ...(await ask()), state: 'starting' as const }));
      assert.equal((await rig.client.call('Probe', {})).ready.value, false);
      rig.agent.on('health', async () => {
        throw new AurochsError('UNAVAILABLE', 'no agent answers');
      });
      await assert.rejects(rig.client.call('Probe', {}), withCode('FAILED_PRECONDITION'));
    });

    it('tell the truth about which services there are', async () => {
      const constraints = 'VOLUME_ACCESSIBILITY_CONSTRAINTS';
      const ofController = [
        'CONTROLLER_SERVICE',
        'GROUP_CONTROLLER_SERVICE',
        'SNAPSHOT_METADATA_SERVICE',
      ];
      const node = await CsiRig.start(behind, { mode: 'node' });
      const controller = await CsiRig.start(behind, { mode: 'controller' });
      try {
        assert.deepEqual(await services(rig.client), [constraints, ...ofController]);
        assert.deepEqual(await services(controller.client), [constraints, ...ofController]);
        assert.deepEqual(await services(node.client), [constraints]);
        await node.client.call('NodeGetInfo', {});
        await controller.client.call('ListVolumes', {});
        const list = node.client.call('ListVolumes', {});
        await assert.rejects(list, withCode('UNIMPLEMENTED'));
        const info = controller.client.call('NodeGetInfo', {});
        await assert.rejects(info, withCode('UNIMPLEMENTED'));
      } finally {
        await node.stop();
        await controller.stop();
      }
    });

    it('are not served for a node that the agent does not know', async () => {
      await assert.rejects(
        CsiRig.start(behind, { nodeId: 'elsewhere' }),
        /knows no node "elsewhere"/,
      );
      behind.nodeList.push({ ...behind.node, id: 'second', name: 'node-2' });
      await assert.rejects(CsiRig.start(behind), /cannot be told/);
      const named = await CsiRig.start(behind, { nodeId: 'node-2' });
      assert.equal((await named.client.call('NodeGetInfo', {})).nodeId, 'second');
      await named.stop();
    });

    it('are on a socket that only its user may open', () => {
      assert.equal(statSync(rig.scratch.file('csi.sock')).mode & 0o777, 0o600);
    });
  });
});
