import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.jpa.test.config.TestHSearchAddInConfig;
import ca.uhn.fhir.jpa.test.config.TestR4Config;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import java.net.InetSocketAddress;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * A FHIR R4 server (HAPI JPA on an in-memory database) on 127.0.0.1. The first argument is the port, 0 for a free one; "ready PORT"
 * goes to standard output when it answers. Ends when standard input ends, so that it never outlives its parent.
 */
public final class Sandbox {
  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    System.setOut(System.err); // libraries print to it
    Thread parent = new Thread(Sandbox::waitForParent);
    parent.setDaemon(true);
    parent.start();

    AnnotationConfigApplicationContext spring =
        new AnnotationConfigApplicationContext(TestR4Config.class, TestHSearchAddInConfig.NoFT.class);
    RestfulServer fhir = new RestfulServer(spring.getBean(FhirContext.class));
    fhir.registerProviders(spring.getBean("myResourceProvidersR4", ResourceProviderFactory.class).createProviders());
    fhir.registerProvider(spring.getBean("mySystemProviderR4"));

    Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
    ServletContextHandler context = new ServletContextHandler();
    context.setContextPath("/");
    context.addServlet(new ServletHolder(fhir), "/fhir/*");
    server.setHandler(context);
    server.start();
    out.println("ready " + ((ServerConnector) server.getConnectors()[0]).getLocalPort());
    server.join();
  }

  private static void waitForParent() {
    try {
      while (System.in.read() >= 0) {
        // nothing is said to it
      }
    } catch (java.io.IOException ended) {
      // the same as an end
    }
    Runtime.getRuntime().halt(0);
  }
}
