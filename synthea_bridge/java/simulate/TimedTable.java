import java.util.HashMap;
import java.util.Map;
import org.apache.commons.lang3.Range;
import org.mitre.synthea.engine.Transition;

/**
 * A lookup table of a module whose rows are spans of time. Synthea compares a moment with every row (463 of them in its table of
 * COVID-19 infections, for everybody in every week), which is a sixth of a simulation; most moments are before the first row or
 * after the last one, and are told so at once. The answers are the same.
 */
final class TimedTable extends HashMap<Object, Object> {
  private static final long serialVersionUID = 1L;
  private static final Hidden<Long> TIME = Hidden.in(Transition.class, "LookupTableKey", "time");
  private static final Hidden<Range<Long>> SPAN = Hidden.in(Transition.class, "LookupTableKey", "timeRange");

  private long first = Long.MAX_VALUE;
  private long last = Long.MIN_VALUE;

  /** Has the tables that are loaded from now on be of this kind where they can. */
  static void install() {
    Hidden.in(Transition.class, "LookupTableTransition", "lookupTables").set(null, new HashMap<String, Map<Object, Object>>() {
      private static final long serialVersionUID = 1L;

      @Override
      public Map<Object, Object> put(String name, Map<Object, Object> table) {
        TimedTable timed = new TimedTable();
        return super.put(name, timed.takes(table) ? timed : table);
      }
    });
  }

  private boolean takes(Map<Object, Object> table) {
    for (Map.Entry<Object, Object> row : table.entrySet()) {
      Range<Long> span = SPAN.of(row.getKey());
      if (span == null) {
        return false;
      }
      first = Math.min(first, span.getMinimum());
      last = Math.max(last, span.getMaximum());
    }
    putAll(table);
    return true;
  }

  @Override
  public boolean containsKey(Object person) {
    long time = TIME.of(person);
    return time >= first && time <= last && super.containsKey(person);
  }
}
