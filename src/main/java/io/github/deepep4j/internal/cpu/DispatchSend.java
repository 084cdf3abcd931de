package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.memory.OffHeap;
import org.jspecify.annotations.Nullable;

/**
 * The sending half of a normal-mode dispatch after its routing is known: negotiate places with
 * every destination, write each row once at its final place, publish one arrival word per
 * destination. A masked destination takes part in none of it, and rows to another node are lost
 * without the rank that a network would deliver them to.
 */
final class DispatchSend {
  private final RankContext context;
  private final CallDescriptor call;
  private final Messages.DispatchId id;
  private final Messages.@Nullable Grant[] grants;

  DispatchSend(RankContext context, CallDescriptor call, Messages.DispatchId id) {
    this.context = context;
    this.call = call;
    this.id = id;
    this.grants = new Messages.Grant[context.numRanks];
  }

  /** Tells each destination its counts. */
  void publishCounts(RoutingPlan plan) {
    for (int peer = 0; peer < context.numRanks; peer++) {
      if (!context.peers.isMasked(peer)) {
        context.messages.publishCounts(peer, id, plan, plan.tokensPerRank[peer]);
      }
    }
  }

  /** Answers a source. */
  void answer(int source, Messages.Grant grant) {
    context.messages.publishGrant(source, id, grant);
  }

  /** Waits for the counts of every unmasked source; null where there is none. */
  Messages.@Nullable Counts[] awaitCounts() {
    Messages.@Nullable Counts[] counts = new Messages.Counts[context.numRanks];
    context.waits.startStage();
    for (int peer = 0; peer < context.numRanks; peer++) {
      int source = peer;
      if (context.awaitCall(source, id.epoch(), call)
          && context.waits.await(
              source, Stage.COUNTS, () -> context.messages.hasCounts(source, id))) {
        counts[source] = context.messages.readCounts(source, id);
      }
    }
    return counts;
  }

  /** Waits for the answers of every unmasked destination. */
  void awaitGrants() {
    context.waits.startStage();
    for (int peer = 0; peer < context.numRanks; peer++) {
      int destination = peer;
      if (context.awaitCall(destination, id.epoch(), call)
          && context.waits.await(
              destination, Stage.GRANT, () -> context.messages.hasGrant(destination, id))) {
        grants[destination] = context.messages.readGrant(destination, id);
      }
    }
  }

  /** The lowest rank's refusal or overflow, refusals first; null if every destination granted. */
  @Nullable Rejection rejection() {
    Rejection overflow = null;
    for (int peer = 0; peer < grants.length; peer++) {
      Messages.Grant grant = grants[peer];
      if (grant != null && grant.verdict() == Messages.Verdict.REFUSED) {
        return new Rejection(peer, grant);
      }
      if (grant != null && grant.verdict() == Messages.Verdict.OVERFLOW && overflow == null) {
        overflow = new Rejection(peer, grant);
      }
    }
    return overflow;
  }

  /**
   * Why a call is dropped.
   *
   * @param rank who said so
   * @param grant its answer
   */
  record Rejection(int rank, Messages.Grant grant) {}

  /** Final rows of a routing: its ordinals on top of the bases granted; −1 where nothing goes. */
  int[] finalRows(RoutingPlan plan) {
    int[] rows = plan.ordinals.clone();
    boolean rankMajor = call.order() == io.github.deepep4j.RowOrder.RANK_MAJOR;
    for (int i = 0; i < rows.length; i++) {
      if (rows[i] >= 0) {
        int destination = rankMajor ? i % context.numRanks : plan.experts[i] / context.localExperts;
        Messages.Grant grant = grants[destination];
        if (grant == null) {
          rows[i] = -1;
        } else {
          rows[i] +=
              rankMajor ? grant.base() : grant.expertBase()[plan.experts[i] % context.localExperts];
        }
      }
    }
    return rows;
  }

  /**
   * Writes every row.
   *
   * @param sent where rows go
   * @param form what a row carries
   * @param sender puts a token's row
   */
  void sendRows(CpuHandle.Sent sent, RegionLayout.Form form, RowSender sender) {
    Place[] places = new Place[context.numRanks];
    for (int peer = 0; peer < places.length; peer++) {
      Messages.Grant grant = grants[peer];
      if (grant != null) {
        places[peer] = new Place(context, peer, form, grant);
      }
    }
    context.traffic.network.startDispatch();
    int perToken = sent.numTokens() == 0 ? 0 : sent.rows().length / sent.numTokens();
    for (int token = 0; token < sent.numTokens(); token++) {
      boolean loaded = false;
      for (int i = token * perToken; i < (token + 1) * perToken; i++) {
        if (sent.rows()[i] < 0) {
          continue;
        }
        int peer =
            form.rankMajor() ? i % context.numRanks : sent.experts()[i] / context.localExperts;
        Place place = places[peer];
        if (place == null || !reaches(peer)) {
          continue;
        }
        if (!loaded) {
          sender.load(token);
          loaded = true;
        }
        place.put(sent, i, token, sender);
        context.traffic.normal.sent(peer, 1, sender.payloadBytes());
        context.traffic.network.sent(peer, token, sender.payloadBytes());
      }
    }
  }

  /**
   * Whether rows get to a destination. One that has masked this rank may have given up on the
   * region.
   */
  private boolean reaches(int peer) {
    return isWithUs(peer) && isWithUs(context.topology.proxy(context.rank, peer));
  }

  private boolean isWithUs(int peer) {
    return !context.peers.isMasked(peer) && !context.peers.isMaskedBy(peer);
  }

  /** Publishes that this rank's rows are at their place, also where it had none. */
  void publishArrivals() {
    publishArrivals(false);
  }

  private void publishArrivals(boolean dropped) {
    for (int peer = 0; peer < context.numRanks; peer++) {
      Messages.Grant grant = grants[peer];
      if (grant != null && grant.verdict() == Messages.Verdict.GRANTED) {
        boolean lost = !isWithUs(context.topology.proxy(context.rank, peer));
        context.messages.publishArrival(peer, grant.region(), id.epoch(), dropped || lost);
      }
    }
  }

  /**
   * Drops the call: tells every destination that has let this rank in that nothing comes, and waits
   * until those that were let in here have said the same, so that nobody writes to the region any
   * more. A destination that has not heard of the rejection, because it has masked who said no,
   * takes this rank's rows for lost.
   */
  void drop(RegionPool.Lease lease) {
    publishArrivals(true);
    context.waits.startStage();
    for (int peer = 0; peer < context.numRanks; peer++) {
      int source = peer;
      if (lease.pending.get(source)
          && context.waits.await(
              source,
              Stage.ARRIVAL,
              () -> context.messages.hasArrived(source, lease.slot, lease.tag))) {
        lease.pending.clear(source);
      }
    }
  }

  /** A destination's region, as far as one sender writes it. */
  private static final class Place {
    private final RankContext context;
    private final int destination;
    private final RegionLayout.Form form;
    private final long region;
    private final RegionLayout layout;

    Place(RankContext context, int destination, RegionLayout.Form form, Messages.Grant grant) {
      this.context = context;
      this.destination = destination;
      this.form = form;
      this.region = context.peers.at(destination, grant.offset());
      this.layout = new RegionLayout(form, context.numRanks, context.localExperts, grant.rows());
    }

    void put(CpuHandle.Sent sent, int index, int token, RowSender sender) {
      long row = sent.rows()[index];
      sender.put(
          token,
          region + layout.x() + row * form.rowBytes(),
          region + layout.scales() + row * form.scaleWords() * 4);
      if (form.hasMetadata()) {
        OffHeap.putInt(region + layout.sourceToken() + 4 * row, token);
        if (form.rankMajor()) {
          putChoices(sent, token, row);
        } else {
          putOrigin(sent, index, row);
        }
      }
    }

    private void putChoices(CpuHandle.Sent sent, int token, long row) {
      int numTopk = form.numTopk();
      long indices = region + layout.topkIdx() + row * numTopk * form.indexBytes();
      long weights = region + layout.topkWeights() + row * numTopk * 4;
      float[] gate = sent.weights();
      for (int k = 0; k < numTopk; k++) {
        int choice = token * numTopk + k;
        int expert = sent.experts()[choice];
        boolean here = expert >= 0 && expert / context.localExperts == destination;
        int local = here ? expert % context.localExperts : -1;
        if (form.indexBytes() == 8) {
          OffHeap.putLong(indices + 8L * k, local);
        } else {
          OffHeap.putInt(indices + 4L * k, local);
        }
        OffHeap.putFloat(weights + 4L * k, here && gate != null ? gate[choice] : 0f);
      }
    }

    private void putOrigin(CpuHandle.Sent sent, int index, long row) {
      float[] gate = sent.weights();
      OffHeap.putFloat(region + layout.weight() + 4 * row, gate == null ? 0f : gate[index]);
      OffHeap.putInt(region + layout.sourceRank() + 4 * row, context.rank);
      OffHeap.putInt(region + layout.topkSlot() + 4 * row, index % form.numTopk());
    }
  }
}
