import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.mitre.synthea.engine.Generator;
import org.mitre.synthea.engine.Module;
import org.mitre.synthea.export.Exporter;
import org.mitre.synthea.modules.LifecycleModule;
import org.mitre.synthea.world.agents.Person;

/** Synthea's generator with people who are quicker to simulate, see {@link Someone} and {@link Awake}; the lives are the same. */
final class Life extends Generator {
  private final List<Module.ModuleSupplier> modules = Module.getModuleSuppliers(supplier -> !supplier.submodule);
  private final Set<String> submodules =
      Module.getModuleSuppliers(supplier -> supplier.submodule).stream()
          .map(supplier -> supplier.get().submoduleName)
          .collect(Collectors.toSet());

  Life(GeneratorOptions options) {
    super(options, new Exporter.ExporterRuntimeOptions());
  }

  @Override
  public Person createPerson(long seed, Map<String, Object> demographics) {
    Person person = new Someone(seed);
    person.populationSeed = options.seed;
    person.lastUpdated = (long) demographics.get(Person.BIRTHDATE);
    person.attributes.putAll(demographics);
    person.attributes.put(Person.LOCATION, location);
    location.setSocialDeterminants(person);
    LifecycleModule.birth(person, person.lastUpdated);
    person.currentModules = modules.stream().map(Module.ModuleSupplier::get).toList();
    updatePerson(person);
    return person;
  }

  @Override
  public void updatePerson(Person person) {
    person.currentModules = new Awake(person, timestep, submodules);
    super.updatePerson(person);
  }
}
