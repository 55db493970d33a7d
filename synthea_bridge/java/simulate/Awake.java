import java.lang.reflect.Field;
import java.util.AbstractList;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.mitre.synthea.engine.Module;
import org.mitre.synthea.engine.State;
import org.mitre.synthea.world.agents.Person;

/**
 * The modules that a person is in. Synthea asks each of them every week, though most wait for a moment that they know, often
 * decades ahead; an iteration leaves these out until then. Each iteration is a step of time: the first at the moment up to which
 * the person is simulated, the later ones a step beyond it.
 */
final class Awake extends AbstractList<Module> {
  private static final Field SUBMODULE = field();
  private static final Map<String, String> KEYS = new ConcurrentHashMap<>(); // of the histories of submodules, by path

  private final Person person;
  private final long step;
  private final Set<String> submodules; // names of submodules, whose histories several modules share
  private final List<Module> modules;
  private final List<Long> until = new ArrayList<>(); // when each of them goes on, as far as is known
  private boolean begun = false;

  Awake(Person person, long step, Set<String> submodules) {
    this.person = person;
    this.step = step;
    this.submodules = submodules;
    modules = new ArrayList<>(person.currentModules);
    modules.forEach(module -> until.add(Long.MIN_VALUE));
  }

  @Override
  public Module get(int at) {
    return modules.get(at);
  }

  @Override
  public int size() {
    return modules.size();
  }

  @Override
  public Iterator<Module> iterator() {
    long time = begun ? person.lastUpdated + step : person.lastUpdated;
    begun = true;
    return new Iterator<>() {
      private int at = -1;

      @Override
      public boolean hasNext() {
        int next = at + 1;
        while (next < modules.size() && waits(next, time)) {
          next++;
        }
        at = next - 1;
        return next < modules.size();
      }

      @Override
      public Module next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        return modules.get(++at);
      }

      @Override
      public void remove() {
        modules.remove(at);
        until.remove(at--);
      }
    };
  }

  private boolean waits(int at, long time) {
    if (until.get(at) > time) {
      return true;
    }
    String name = modules.get(at).name;
    State state = state(name);
    if (state instanceof State.Delayable delay && !submodules.contains(name) && delay.next != null) {
      until.set(at, delay.next);
    }
    return waits(state, time);
  }

  private boolean waits(State state, long time) {
    if (state instanceof State.CallSubmodule call) {
      return waits(state(KEYS.computeIfAbsent(path(call), path -> Module.getModuleByPath(path).submoduleName)), time);
    }
    return state instanceof State.Delayable delay && delay.next != null && delay.next > time;
  }

  /** The state that a module is in; null where it has not begun, or is none of states. */
  private State state(String key) {
    return person.attributes.get(key) instanceof List<?> history && history.get(0) instanceof State state ? state : null;
  }

  private static Field field() {
    try {
      Field field = State.CallSubmodule.class.getDeclaredField("submodule");
      field.setAccessible(true);
      return field;
    } catch (ReflectiveOperationException error) {
      throw new IllegalStateException("this is another Synthea than the one that is pinned", error);
    }
  }

  private static String path(State.CallSubmodule call) {
    try {
      return (String) SUBMODULE.get(call);
    } catch (IllegalAccessException error) {
      throw new IllegalStateException(error);
    }
  }
}
