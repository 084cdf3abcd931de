package io.github.deepep4j.examples.training;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.Statistics;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.tensor.Device;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** One rank's training. All ranks of the group run it together. */
final class Trainer {
  private final ProcessGroup group;
  private final DemoOptions options;
  private final Corpus corpus;
  private final StepListener listener;

  /** Told after each step. */
  @FunctionalInterface
  interface StepListener {
    void onStep(int step, double loss);
  }

  Trainer(ProcessGroup group, DemoOptions options, Corpus corpus, StepListener listener) {
    this.group = group;
    this.options = options;
    this.corpus = corpus;
    this.listener = listener;
  }

  /**
   * Trains, and generates a sample. Collective.
   *
   * @param sampleLength characters to generate on each rank, 0 for none
   * @return the run, the same on all ranks
   */
  TrainingRun run(int sampleLength) {
    Shards shards = Shards.ofRank(options.ranks(), options.tokens(), group.rank(), group.size());
    ModelShape shape = options.shape(corpus.vocabularySize());
    // One buffer for training (normal mode, rows by expert) and generation (low latency).
    BufferOptions bufferOptions =
        BufferOptions.of(shape.experts(), shape.hidden(), shards.rows())
            .maxTopk(Routing.TOPK)
            .maxExpertAlignment(1)
            .expertMajor()
            .lowLatency();
    Device device = options.cuda() ? Device.cuda(group.rank() % options.devices()) : Device.cpu();
    try (Buffer buffer = Buffer.builder(group).options(bufferOptions).device(device).build()) {
      CommunicationClock clock = new CommunicationClock();
      int expertsPerRank = shape.experts() / group.size();
      var parameters = new ParameterStore(options.seed(), shards.count());
      var experts =
          new CharModel.Experts(buffer, group.rank() * expertsPerRank, expertsPerRank, clock);
      CharModel model = new CharModel(shape, shards, parameters, experts);
      return train(model, parameters, shards, new Measured(buffer, clock), sampleLength);
    }
  }

  private record Measured(Buffer buffer, CommunicationClock clock) {}

  private TrainingRun train(
      CharModel model,
      ParameterStore parameters,
      Shards shards,
      Measured measured,
      int sampleLength) {
    DenseGradients gradients = new DenseGradients(group, shards, parameters.dense());
    double[] losses = new double[options.steps()];
    int[][][] load = new int[options.steps()][][];
    group.barrier();
    long start = System.nanoTime();
    for (int step = 0; step < options.steps(); step++) {
      Batch batch = corpus.batch(shards, options.context(), options.seed(), step);
      parameters.all().forEach(Parameter::zeroParts);
      double[] shardLosses = model.forward(batch);
      load[step] = model.load();
      model.backward(batch);
      losses[step] = gradients.sum(shardLosses) / shards.tokensOfAllRanks();
      update(parameters, step);
      listener.onStep(step + 1, losses[step]);
    }
    long nanos = System.nanoTime() - start;
    TrainingRun.Shares shares = shares(measured, nanos);
    double tokens = (double) options.steps() * shards.tokensOfAllRanks();
    return new TrainingRun(
        group.size(),
        losses,
        gatherLoad(load),
        tokens / (nanos * 1e-9),
        nanos * 1e-9,
        shares,
        sampleLength == 0 ? List.of() : samples(model, sampleLength),
        countWeights(parameters));
  }

  /** Adam, with a learning rate that rises over the first steps and then falls to a tenth. */
  private void update(ParameterStore parameters, int step) {
    double warmUp = Math.min(1, (step + 1) / 20.0);
    double decay = 1 - 0.9 * step / options.steps();
    float rate = (float) (options.learningRate() * warmUp * decay);
    float correction1 = Parameter.correction1(step + 1);
    float correction2 = Parameter.correction2(step + 1);
    parameters.all().forEach(p -> p.update(rate, correction1, correction2));
  }

  private TrainingRun.Shares shares(Measured measured, long nanos) {
    long waiting =
        measured.buffer().statistics().normal().stream()
            .mapToLong(Statistics.Peer::waitNanos)
            .sum();
    ByteBuffer mine = ByteBuffer.allocate(4 * Long.BYTES);
    mine.putLong(measured.clock().dispatchNanos());
    mine.putLong(measured.clock().combineNanos()).putLong(waiting).putLong(nanos);
    double[] sums = new double[4];
    for (byte[] bytes : group.allGather(mine.array())) {
      ByteBuffer in = ByteBuffer.wrap(bytes);
      for (int i = 0; i < sums.length; i++) {
        sums[i] += in.getLong();
      }
    }
    return new TrainingRun.Shares(sums[0] / sums[3], sums[1] / sums[3], sums[2] / sums[3]);
  }

  /** Puts the ranks' experts side by side, in expert order. */
  private int[][][] gatherLoad(int[][][] mine) {
    int localExperts = mine[0][0].length;
    int layers = mine[0].length;
    ByteBuffer out = ByteBuffer.allocate(mine.length * layers * localExperts * Integer.BYTES);
    for (int[][] step : mine) {
      for (int[] layer : step) {
        for (int tokens : layer) {
          out.putInt(tokens);
        }
      }
    }
    byte[][] messages = group.allGather(out.array());
    int[][][] all = new int[mine.length][layers][localExperts * group.size()];
    for (int rank = 0; rank < group.size(); rank++) {
      ByteBuffer in = ByteBuffer.wrap(messages[rank]);
      for (int[][] step : all) {
        for (int[] layer : step) {
          for (int e = 0; e < localExperts; e++) {
            layer[rank * localExperts + e] = in.getInt();
          }
        }
      }
    }
    return all;
  }

  private List<TrainingRun.Sample> samples(CharModel model, int length) {
    int[] prompt = corpus.prompt(group.rank(), options.context());
    Generator generator = new Generator(model, options.context(), options.seed() + group.rank());
    String text = corpus.text(generator.generate(prompt, length));
    List<TrainingRun.Sample> samples = new ArrayList<>();
    for (byte[] bytes : group.allGather(text.getBytes(StandardCharsets.UTF_8))) {
      String whole = new String(bytes, StandardCharsets.UTF_8);
      int end = whole.offsetByCodePoints(0, options.context());
      samples.add(new TrainingRun.Sample(whole.substring(0, end), whole.substring(end)));
    }
    return samples;
  }

  private int countWeights(ParameterStore parameters) {
    int dense = parameters.dense().stream().mapToInt(Parameter::numElements).sum();
    return dense + (parameters.numElements() - dense) * group.size();
  }
}
