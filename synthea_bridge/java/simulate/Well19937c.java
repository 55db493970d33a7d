package org.apache.commons.math3.random;

/**
 * The library's generator of this name, with the same numbers: WELL19937a with Matsumoto and Kurita's tempering. It is seeded with
 * the first number that is drawn: Synthea makes a normal distribution, and so one of these with its 624 words, whenever it looks up a
 * percentile, and draws none.
 */
public class Well19937c extends BitsStreamGenerator {
  private static final long serialVersionUID = 1L;

  private transient Well19937a raw = null;

  public Well19937c() {}

  public Well19937c(int seed) {
    raw = new Well19937a(seed);
  }

  public Well19937c(int[] seed) {
    raw = new Well19937a(seed);
  }

  public Well19937c(long seed) {
    raw = new Well19937a(seed);
  }

  private Well19937a raw() {
    raw = raw == null ? new Well19937a() : raw;
    return raw;
  }

  @Override
  public void setSeed(int seed) {
    clear();
    raw().setSeed(seed);
  }

  @Override
  public void setSeed(int[] seed) {
    clear();
    raw().setSeed(seed);
  }

  @Override
  public void setSeed(long seed) {
    clear();
    raw().setSeed(seed);
  }

  @Override
  protected int next(int bits) {
    int word = raw().next(32);
    word ^= (word << 7) & 0xe46e1700;
    word ^= (word << 15) & 0x9b868000;
    return word >>> (32 - bits);
  }
}
