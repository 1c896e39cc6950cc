/** Lines to paste: how the clients that people already have reach an attached volume. */
import type { ExportBody } from '../api/types.js';

export interface Recipe {
  /** What the lines are for. */
  title: string;
  lines: string[];
}

/** What must be known beside the address; secrets are never printed. */
export interface ChapNames {
  user: string;
  mutualUser?: string;
}

export function recipesFor(address: ExportBody, chap: ChapNames | null): Recipe[] {
  return address.frontend === 'iscsi' ? iscsiRecipes(address, chap) : nbdRecipes(address);
}

function iscsiRecipes({ uri, address, name }: ExportBody, chap: ChapNames | null): Recipe[] {
  const node = `iscsiadm -m node -T ${name} -p ${address}`;
  const logIn = [`${node} -o new`, ...chapSettings(node, chap), `${node} --login`];
  const secret =
    chap === null
      ? ''
      : `LIBISCSI_CHAP_USERNAME=${quote(chap.user)} LIBISCSI_CHAP_PASSWORD=SECRET `;
  return [
    { title: 'as a disk of this machine (open-iscsi, as root)', lines: logIn },
    { title: 'from QEMU', lines: [`${secret}qemu-img info ${uri}`] },
  ];
}

function chapSettings(node: string, chap: ChapNames | null): string[] {
  if (chap === null) return [];
  const settings: [string, string][] = [
    ['authmethod', 'CHAP'],
    ['username', quote(chap.user)],
    ['password', 'SECRET'],
  ];
  if (chap.mutualUser !== undefined) {
    settings.push(['username_in', quote(chap.mutualUser)], ['password_in', 'MUTUAL-SECRET']);
  }
  return settings.map(
    ([name, value]) => `${node} -o update -n node.session.auth.${name} -v ${value}`,
  );
}

function nbdRecipes({ uri, address, name }: ExportBody): Recipe[] {
  return [
    {
      title: 'as a disk of this machine (nbd-client, as root)',
      lines: [`nbd-client ${nbdClientAddress(address)} -N ${name} /dev/nbd0`],
    },
    { title: 'what is allocated', lines: [`nbdinfo --map ${quote(uri)}`] },
    { title: 'from QEMU', lines: [`qemu-img info ${quote(uri)}`] },
  ];
}

function nbdClientAddress(address: string): string {
  if (address.startsWith('unix:')) return `-unix ${quote(address.slice('unix:'.length))}`;
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return `${host} ${address.slice(colon + 1)}`;
}

/** For a shell; what needs no quotes stays readable. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
