package io.github.deepep4j.internal.cuda.binding;

import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.MemberGetter;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/**
 * Functions of {@code native/include/ep4j.h}, which documents them. Every pointer is a {@code
 * long}; a status is an {@code int}, see {@link Abi}. Initialising this class loads the libraries,
 * so only {@link NativeLibrary} does it first.
 */
@Platform(include = "ep4j.h", link = "ep4j", library = "jniep4j")
@NoException
public final class Ep4jNative {
  static {
    NativeFiles.load();
  }

  private Ep4jNative() {}

  /** Initialises this class, which loads the libraries, for a class of other functions. */
  static void load() {}

  @Name("ep4j_abi_version")
  static native int abiVersion();

  /** The version of the header that the JNI glue was compiled with. */
  @MemberGetter
  @Name("EP4J_ABI_VERSION")
  static native @Cast("int") int glueAbiVersion();

  @MemberGetter
  @Name("sizeof(ep4j_device)")
  static native @Cast("int") int sizeofDevice();

  @MemberGetter
  @Name("sizeof(ep4j_link)")
  static native @Cast("int") int sizeofLink();

  @MemberGetter
  @Name("sizeof(ep4j_buffer_config)")
  static native @Cast("int") int sizeofBufferConfig();

  @MemberGetter
  @Name("sizeof(ep4j_buffer_memory)")
  static native @Cast("int") int sizeofBufferMemory();

  @MemberGetter
  @Name("sizeof(ep4j_region_form)")
  static native @Cast("int") int sizeofRegionForm();

  @MemberGetter
  @Name("sizeof(ep4j_dispatch_call)")
  static native @Cast("int") int sizeofDispatchCall();

  @MemberGetter
  @Name("sizeof(ep4j_dispatch_result)")
  static native @Cast("int") int sizeofDispatchResult();

  @MemberGetter
  @Name("sizeof(ep4j_counts)")
  static native @Cast("int") int sizeofCounts();

  @MemberGetter
  @Name("sizeof(ep4j_combine_call)")
  static native @Cast("int") int sizeofCombineCall();

  @MemberGetter
  @Name("sizeof(ep4j_combine_receive_call)")
  static native @Cast("int") int sizeofCombineReceiveCall();

  @MemberGetter
  @Name("sizeof(ep4j_low_latency_config)")
  static native @Cast("int") int sizeofLowLatencyConfig();

  @MemberGetter
  @Name("sizeof(ep4j_low_latency_dispatch_call)")
  static native @Cast("int") int sizeofLowLatencyDispatchCall();

  @MemberGetter
  @Name("sizeof(ep4j_low_latency_result)")
  static native @Cast("int") int sizeofLowLatencyResult();

  @MemberGetter
  @Name("sizeof(ep4j_low_latency_combine_call)")
  static native @Cast("int") int sizeofLowLatencyCombineCall();

  @MemberGetter
  @Name("sizeof(ep4j_layout_call)")
  static native @Cast("int") int sizeofLayoutCall();

  @MemberGetter
  @Name("sizeof(ep4j_layout_verdict)")
  static native @Cast("int") int sizeofLayoutVerdict();

  @MemberGetter
  @Name("sizeof(ep4j_copy_call)")
  static native @Cast("int") int sizeofCopyCall();

  @MemberGetter
  @Name("sizeof(ep4j_host_words)")
  static native @Cast("int") int sizeofHostWords();

  @MemberGetter
  @Name("sizeof(ep4j_internode_config)")
  static native @Cast("int") int sizeofInternodeConfig();

  @MemberGetter
  @Name("sizeof(ep4j_network)")
  static native @Cast("int") int sizeofNetwork();

  @MemberGetter
  @Name("sizeof(ep4j_standing)")
  static native @Cast("int") int sizeofStanding();

  @MemberGetter
  @Name("sizeof(ep4j_welcome_call)")
  static native @Cast("int") int sizeofWelcomeCall();

  @MemberGetter
  @Name("sizeof(ep4j_error_record)")
  static native @Cast("int") int sizeofErrorRecord();

  @MemberGetter
  @Name("sizeof(ep4j_row_copy_call)")
  static native @Cast("int") int sizeofRowCopyCall();

  /** Text of this thread's last failure. */
  @Name("ep4j_last_error")
  public static native String lastError();

  @Name("ep4j_device_count")
  public static native @Cast("ep4j_status") int deviceCount(@Cast("int32_t*") long count);

  @Name("ep4j_device_info")
  public static native @Cast("ep4j_status") int deviceInfo(
      int device, @Cast("ep4j_device*") long info);

  @Name("ep4j_link_info")
  public static native @Cast("ep4j_status") int linkInfo(
      int device, int peer, @Cast("ep4j_link*") long link);

  @Name("ep4j_region_bytes")
  public static native @Cast("ep4j_status") int regionBytes(
      @Cast("const ep4j_region_form*") long form,
      int numRanks,
      int numExperts,
      @Cast("int64_t*") long bytes);

  @Name("ep4j_output_bytes")
  public static native @Cast("ep4j_status") int outputBytes(
      @Cast("int64_t") long rows, int hidden, int weightsPerRow, @Cast("int64_t*") long bytes);

  @Name("ep4j_buffer_bytes")
  public static native @Cast("ep4j_status") int bufferBytes(
      @Cast("const ep4j_buffer_config*") long config, @Cast("ep4j_buffer_memory*") long memory);

  @Name("ep4j_buffer_create")
  public static native @Cast("ep4j_status") int bufferCreate(
      @Cast("const ep4j_buffer_config*") long config, @Cast("ep4j_buffer**") long buffer);

  @Name("ep4j_buffer_window")
  public static native @Cast("ep4j_status") int bufferWindow(
      @Cast("ep4j_buffer*") long buffer, @Cast("ep4j_window_name*") long name);

  @Name("ep4j_buffer_connect")
  public static native @Cast("ep4j_status") int bufferConnect(
      @Cast("ep4j_buffer*") long buffer, @Cast("const ep4j_window_name*") long names);

  @Name("ep4j_buffer_disconnect")
  public static native @Cast("ep4j_status") int bufferDisconnect(@Cast("ep4j_buffer*") long buffer);

  @Name("ep4j_buffer_destroy")
  public static native @Cast("ep4j_status") int bufferDestroy(
      @Cast("ep4j_buffer*") long buffer, int abandonWindow);

  @Name("ep4j_layout")
  public static native @Cast("ep4j_status") int layout(
      @Cast("ep4j_buffer*") long buffer,
      @Cast("const ep4j_layout_call*") long call,
      @Cast("void*") long stream);

  @Name("ep4j_layout_told")
  public static native @Cast("ep4j_status") int layoutTold(
      @Cast("ep4j_buffer*") long buffer,
      @Cast("uint64_t") long ticket,
      @Cast("ep4j_layout_verdict*") long verdict);

  @Name("ep4j_dispatch")
  public static native @Cast("ep4j_status") int dispatch(
      @Cast("ep4j_buffer*") long buffer,
      @Cast("const ep4j_dispatch_call*") long call,
      @Cast("ep4j_dispatch_result*") long result,
      @Cast("void*") long stream);

  @Name("ep4j_dispatch_receive")
  public static native @Cast("ep4j_status") int dispatchReceive(
      @Cast("ep4j_buffer*") long buffer,
      int region,
      @Cast("int64_t") long timeoutNanos,
      @Cast("void*") long stream);

  @Name("ep4j_dispatch_counts")
  public static native @Cast("ep4j_status") int dispatchCounts(
      @Cast("ep4j_buffer*") long buffer,
      @Cast("uint64_t") long ticket,
      @Cast("int64_t") long waitNanos,
      @Cast("ep4j_counts*") long counts,
      @Cast("int32_t*") long tokensPerExpert);

  @Name("ep4j_region_release")
  public static native @Cast("ep4j_status") int regionRelease(
      @Cast("ep4j_buffer*") long buffer, int region, @Cast("void*") long stream);

  @Name("ep4j_region_place")
  public static native @Cast("ep4j_status") int regionPlace(
      @Cast("ep4j_buffer*") long buffer,
      int region,
      @Cast("int64_t") long offset,
      @Cast("int64_t") long bytes);

  @Name("ep4j_region_settle")
  public static native @Cast("ep4j_status") int regionSettle(
      @Cast("ep4j_buffer*") long buffer,
      int region,
      @Cast("int64_t") long rows,
      @Cast("ep4j_dispatch_result*") long result);

  @Name("ep4j_output_place")
  public static native @Cast("ep4j_status") int outputPlace(
      @Cast("ep4j_buffer*") long buffer,
      int output,
      @Cast("int64_t") long offset,
      @Cast("int64_t") long bytes);

  @Name("ep4j_combine_input")
  public static native @Cast("ep4j_status") int combineInput(
      @Cast("ep4j_buffer*") long buffer,
      int output,
      @Cast("int64_t") long rows,
      int hidden,
      @Cast("int64_t") long timeoutNanos,
      @Cast("void**") long y,
      @Cast("void*") long stream);

  @Name("ep4j_combine")
  public static native @Cast("ep4j_status") int combine(
      @Cast("ep4j_buffer*") long buffer,
      @Cast("const ep4j_combine_call*") long call,
      @Cast("void*") long stream);

  @Name("ep4j_combine_receive")
  public static native @Cast("ep4j_status") int combineReceive(
      @Cast("ep4j_buffer*") long buffer,
      @Cast("const ep4j_combine_receive_call*") long call,
      @Cast("void*") long stream);

  @Name("ep4j_copy")
  public static native @Cast("ep4j_status") int copy(
      @Cast("ep4j_buffer*") long buffer,
      @Cast("const ep4j_copy_call*") long call,
      @Cast("void*") long stream);

  @Name("ep4j_mask")
  public static native @Cast("ep4j_status") int mask(@Cast("ep4j_buffer*") long buffer, int rank);

  @Name("ep4j_masked")
  public static native @Cast("ep4j_status") int masked(
      @Cast("ep4j_buffer*") long buffer, @Cast("uint32_t*") long ranks);

  @Name("ep4j_abort")
  public static native @Cast("ep4j_status") int abort(@Cast("ep4j_buffer*") long buffer);

  @Name("ep4j_forget")
  public static native @Cast("ep4j_status") int forget(@Cast("ep4j_buffer*") long buffer, int rank);

  @Name("ep4j_mark")
  public static native @Cast("ep4j_status") int mark(
      @Cast("ep4j_buffer*") long buffer, @Cast("void*") long stream);

  @Name("ep4j_buffer_words")
  public static native @Cast("ep4j_status") int bufferWords(
      @Cast("ep4j_buffer*") long buffer, @Cast("ep4j_host_words*") long words);

  @Name("ep4j_look")
  public static native @Cast("ep4j_status") int look(
      @Cast("ep4j_buffer*") long buffer,
      @Cast("int64_t") long waitNanos,
      @Cast("ep4j_standing*") long standing);

  @Name("ep4j_idle")
  public static native @Cast("ep4j_status") int idle(@Cast("ep4j_buffer*") long buffer);

  @Name("ep4j_welcome")
  public static native @Cast("ep4j_status") int welcome(
      @Cast("ep4j_buffer*") long buffer, @Cast("const ep4j_welcome_call*") long call);

  @Name("ep4j_error")
  public static native @Cast("ep4j_status") int error(
      @Cast("ep4j_buffer*") long buffer, @Cast("ep4j_error_record*") long errorRecord);

  @Name("ep4j_memory_allocate")
  public static native @Cast("ep4j_status") int memoryAllocate(
      int device, @Cast("int64_t") long bytes, @Cast("void*") long stream, @Cast("void**") long at);

  @Name("ep4j_memory_free")
  public static native @Cast("ep4j_status") int memoryFree(
      int device, @Cast("void*") long address, @Cast("void*") long stream);

  @Name("ep4j_memory_copy")
  public static native @Cast("ep4j_status") int memoryCopy(
      int device,
      @Cast("void*") long to,
      @Cast("const void*") long from,
      @Cast("int64_t") long bytes,
      @Cast("void*") long stream);

  @Name("ep4j_stream_create")
  public static native @Cast("ep4j_status") int streamCreate(
      int device, int urgent, @Cast("void**") long stream);

  @Name("ep4j_stream_destroy")
  public static native @Cast("ep4j_status") int streamDestroy(
      int device, @Cast("void*") long stream);

  @Name("ep4j_stream_wait")
  public static native @Cast("ep4j_status") int streamWait(
      int device, @Cast("void*") long stream, @Cast("void*") long event);

  @Name("ep4j_stream_query")
  public static native @Cast("ep4j_status") int streamQuery(int device, @Cast("void*") long stream);

  @Name("ep4j_graph_begin")
  public static native @Cast("ep4j_status") int graphBegin(int device, @Cast("void*") long stream);

  @Name("ep4j_graph_end")
  public static native @Cast("ep4j_status") int graphEnd(
      int device, @Cast("void*") long stream, @Cast("void**") long graph);

  @Name("ep4j_graph_launch")
  public static native @Cast("ep4j_status") int graphLaunch(
      int device, @Cast("void*") long graph, @Cast("void*") long stream);

  @Name("ep4j_graph_destroy")
  public static native @Cast("ep4j_status") int graphDestroy(int device, @Cast("void*") long graph);

  @Name("ep4j_event_destroy")
  public static native @Cast("ep4j_status") int eventDestroy(int device, @Cast("void*") long event);

  @Name("ep4j_event_record")
  public static native @Cast("ep4j_status") int eventRecord(
      int device, @Cast("void*") long event, @Cast("void*") long stream);

  @Name("ep4j_event_query")
  public static native @Cast("ep4j_status") int eventQuery(int device, @Cast("void*") long event);
}
