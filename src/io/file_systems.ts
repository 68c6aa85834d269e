/**
 * Names of file systems by the magic number that Linux gives them.
 *
 * @module
 */

const NAMES: Readonly<Record<number, string>> = {
  0xef53: "ext4",
  0x58465342: "xfs",
  0x9123683e: "btrfs",
  0x01021994: "tmpfs",
  0x2fc12fc1: "zfs",
  0x794c7630: "overlay",
  0xf2f52010: "f2fs",
  0xca451a4e: "bcachefs",
  0x6969: "nfs",
  0x65735546: "fuse",
  0x01021997: "9p",
  0xff534d42: "cifs",
  0x4d44: "vfat",
  0x2011bab0: "exfat",
  0x858458f6: "ramfs",
  0x00c0ffee: "hostfs",
};

/** `ext4` for 0xef53; one without a known name is `0x…`. */
export function fileSystemName(magic: number): string {
  // The runtimes do not agree on its sign.
  const unsigned = magic >>> 0;
  return NAMES[unsigned] ?? `0x${unsigned.toString(16)}`;
}
