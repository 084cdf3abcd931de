package io.github.deepep4j;

/**
 * How the ranks of a buffer on CUDA reach each other's memory. On the CPU it is not looked at, but
 * for {@link #NVSHMEM}, which needs a GPU.
 */
public enum Transport {
  /** {@link #PEER} where all ranks run on one host, else {@link #NVSHMEM}. The default. */
  AUTOMATIC,
  /**
   * Loads and stores: by address inside a process, by CUDA IPC between the processes of a host.
   * Ranks on several hosts are refused.
   */
  PEER,
  /**
   * NVSHMEM's symmetric heap: loads and stores where they reach a rank, else puts over a network.
   * Needs {@code libep4j_nvshmem.so} and NVSHMEM ({@link NvshmemOptions} says where they are looked
   * for), and every rank must be a process of its own. What is different from {@link #PEER}:
   *
   * <ul>
   *   <li>Low-latency mode works with all ranks. Normal mode works if loads and stores reach every
   *       rank, or with {@link BufferOptions#ranksPerNode(int)} if they reach those of the own
   *       node; else its calls are refused by name.
   *   <li>{@link Buffer#close()} is collective: it waits, at most for the buffer's deadline, until
   *       all ranks have come. If one does not, or has died, the symmetric heap is abandoned: a log
   *       line says so, {@link Statistics#abandonedBytes()} of buffers that are still open has its
   *       bytes, and this process can make no buffer over NVSHMEM any more: all ranks have to be
   *       started again.
   *   <li>All buffers of a process that are open at once must be of the same ranks in the same
   *       order; NVSHMEM runs from the first of them to the last.
   *   <li>Low-latency calls of buffers over different transports in one process do not know of each
   *       other's multiprocessors: on one device, let calls of one end before calls of the other
   *       begin.
   *   <li>Across hosts {@link Buffer#unmask} is refused, and nobody sees that a process has died
   *       but by the deadline.
   * </ul>
   */
  NVSHMEM
}
