import java.io.IOException;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.Location;
import org.hl7.fhir.r4.model.Resource;
import org.mitre.synthea.export.FhirR4;
import org.mitre.synthea.world.agents.Clinician;
import org.mitre.synthea.world.agents.Provider;

/** The organisations, locations and practitioners that patients refer to; Synthea's own code makes the resources. */
final class Shared extends FhirR4 {
  private static final String MARK = "?identifier=";
  private static final String URN = "urn:uuid:";
  private static final String NPI = "http://hl7.org/fhir/sid/us-npi";

  /** The conditional references in a composed Bundle. */
  static Set<String> references(String text) {
    Set<String> found = new HashSet<>();
    for (int at = text.indexOf(MARK); at >= 0; at = text.indexOf(MARK, at + 1)) {
      int start = text.lastIndexOf('"', at) + 1;
      if (text.startsWith("\"reference\":", start - 13) || text.startsWith("\"reference\" :", start - 14)) {
        found.add(text.substring(start, text.indexOf('"', at)));
      }
    }
    return found;
  }

  /** A transaction that creates what is referred to, where the server does not have it; by type and id. */
  static byte[] bundle(Set<String> referred) throws IOException {
    Map<String, Resource> known = known();
    TreeMap<String, Bundle.BundleEntryComponent> entries = new TreeMap<>();
    for (String reference : referred) {
      Resource resource = known.get(reference);
      if (resource == null) {
        throw new IllegalStateException("a patient refers to " + reference + ", which Synthea does not know");
      }
      add(entries, reference, resource);
      if (resource instanceof Location location && location.hasManagingOrganization()) { // it refers to its organisation by identifier only
        String url = condition("Organization", location.getManagingOrganization().getIdentifier().getValue());
        add(entries, url, known.get(url));
        location.getManagingOrganization().setReference(URN + known.get(url).getIdElement().getIdPart());
      }
    }
    Bundle bundle = new Bundle();
    bundle.setType(Bundle.BundleType.TRANSACTION);
    entries.values().forEach(bundle::addEntry);
    return Composer.bytes(bundle);
  }

  private static void add(Map<String, Bundle.BundleEntryComponent> entries, String reference, Resource resource) {
    Bundle.BundleEntryComponent entry = new Bundle.BundleEntryComponent();
    Mends.tag(resource);
    entry.setFullUrl(URN + resource.getIdElement().getIdPart()).setResource(resource);
    String condition = reference.substring(reference.indexOf('?') + 1);
    entry.getRequest().setMethod(Bundle.HTTPVerb.POST).setUrl(resource.fhirType()).setIfNoneExist(condition);
    entries.put(resource.fhirType() + " " + resource.getIdElement().getIdPart(), entry);
  }

  private static String condition(String type, String id) {
    return type + MARK + SYNTHEA_IDENTIFIER + "|" + id;
  }

  private static Map<String, Resource> known() {
    Map<String, Resource> known = new HashMap<>();
    Bundle homes = new Bundle();
    addPatientHomeLocation(homes); // one for all: where virtual visits are
    Location home = (Location) homes.getEntryFirstRep().getResource();
    known.put(condition("Location", home.getIdentifierFirstRep().getValue()), home);
    Stream<Provider> providers = Provider.getProviderList().stream();
    for (Provider provider : providers.sorted(Comparator.comparing(Provider::getResourceID)).toList()) {
      Bundle made = new Bundle(); // where Synthea's code puts the resource, and others that nobody refers to
      Resource organization = provider(made, provider).getResource();
      known.putIfAbsent(condition("Organization", provider.getResourceID()), organization);
      Location location = providerLocation(made, provider);
      location.setId(provider.getResourceLocationID());
      known.putIfAbsent(condition("Location", provider.getResourceLocationID()), location);
      for (String service : new TreeSet<>(provider.clinicianMap.keySet())) {
        List<Clinician> clinicians = provider.clinicianMap.get(service);
        for (Clinician clinician : clinicians) {
          String reference = "Practitioner" + MARK + NPI + "|" + clinician.npi;
          if (!known.containsKey(reference)) {
            known.put(reference, practitioner(made, clinician).getResource());
          }
        }
      }
    }
    return known;
  }
}
