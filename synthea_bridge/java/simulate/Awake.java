import java.util.AbstractList;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.mitre.synthea.engine.Logic;
import org.mitre.synthea.engine.Module;
import org.mitre.synthea.engine.State;
import org.mitre.synthea.modules.EncounterModule;
import org.mitre.synthea.world.agents.Person;

/**
 * The modules that a person is in. Synthea goes through all of them every week, though most wait: for a moment that they know, often
 * decades ahead, for a checkup, or for what has not come about. An iteration leaves out those that would go on waiting. Each
 * iteration is a step of time: the first at the moment up to which the person is simulated, the later ones a step beyond it.
 */
final class Awake extends AbstractList<Module> {
  private static final Hidden<Logic> ALLOW = new Hidden<>(State.Guard.class, "allow");
  private static final Hidden<Boolean> WELLNESS = new Hidden<>(State.Encounter.class, "wellness");
  private static final Hidden<String> SUBMODULE = new Hidden<>(State.CallSubmodule.class, "submodule");
  private static final Map<String, String> KEYS = new ConcurrentHashMap<>(); // of the histories of submodules, by path

  /** A module, and what is known of the person in it. */
  private static final class Place {
    private final Module module;
    private final boolean alone; // no submodule has its name, so that its history stays the same list
    private List<State> history = null;
    private long until = Long.MIN_VALUE; // it goes on no sooner

    Place(Module module, boolean alone) {
      this.module = module;
      this.alone = alone;
    }
  }

  private final Person person;
  private final long step;
  private final List<Place> places = new ArrayList<>();
  private boolean begun = false;

  Awake(Person person, long step, Set<String> submodules) {
    this.person = person;
    this.step = step;
    List<Module> all = person.currentModules;
    for (int at = 0; at < all.size(); at++) { // an iteration might leave some out
      places.add(new Place(all.get(at), !submodules.contains(all.get(at).name)));
    }
  }

  @Override
  public Module get(int at) {
    return places.get(at).module;
  }

  @Override
  public int size() {
    return places.size();
  }

  @Override
  public Iterator<Module> iterator() {
    long time = begun ? person.lastUpdated + step : person.lastUpdated;
    begun = true;
    return new Iterator<>() {
      private int at = -1;
      private int next = 0;

      @Override
      public boolean hasNext() {
        while (next < places.size() && waits(places.get(next), time)) {
          next++;
        }
        return next < places.size();
      }

      @Override
      public Module next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        at = next++;
        return get(at);
      }

      @Override
      public void remove() {
        places.remove(at);
        next = at;
      }
    };
  }

  private boolean waits(Place place, long time) {
    if (place.until > time) {
      return true;
    }
    List<State> history = place.history == null ? history(place.module.name) : place.history;
    if (history == null) {
      return false;
    }
    if (place.alone) {
      place.history = history;
      if (history.get(0) instanceof State.Delayable delay && delay.next != null) {
        place.until = delay.next;
      }
    }
    return waits(history, time);
  }

  /** Whether the state that is at the front of a history would be left as it is. */
  private boolean waits(List<State> history, long time) {
    State state = history.get(0);
    if (state.entered == null) {
      return false;
    }
    if (state instanceof State.Delayable delay) {
      return delay.next != null && delay.next > time;
    }
    if (state instanceof State.Guard) {
      person.history = history; // in which conditions look
      return !ALLOW.of(state).test(person, time);
    }
    if (state instanceof State.Encounter) {
      return WELLNESS.of(state) && !EncounterModule.NAME.equals(person.getCurrentEncounterModule());
    }
    if (state instanceof State.CallSubmodule) {
      String path = SUBMODULE.of(state);
      List<State> inner = history(KEYS.computeIfAbsent(path, unknown -> Module.getModuleByPath(unknown).submoduleName));
      return inner != null && waits(inner, time);
    }
    return false;
  }

  /** The states that a person was in, the latest first; null where a module has not begun, or has none. */
  @SuppressWarnings("unchecked")
  private List<State> history(String key) {
    return person.attributes.get(key) instanceof List<?> history ? (List<State>) history : null;
  }
}
