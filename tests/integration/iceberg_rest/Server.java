import java.net.InetSocketAddress;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.CatalogUtil;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;

/** Iceberg's own REST catalog, as its fixture makes it, on this machine alone: port, SQLite file, warehouse. */
public class Server {
  public static void main(String[] args) throws Exception {
    var catalog = CatalogUtil.buildIcebergCatalog("served", Map.of(
        "catalog-impl", "org.apache.iceberg.jdbc.JdbcCatalog",
        "jdbc.schema-version", "V1",
        "uri", "jdbc:sqlite:" + args[1],
        "warehouse", args[2],
        "io-impl", "org.apache.iceberg.hadoop.HadoopFileIO"), new Configuration());
    var handler = new ServletContextHandler("/");
    handler.addServlet(new ServletHolder(new RESTCatalogServlet(new RESTCatalogAdapter(catalog))), "/*");
    var server = new org.eclipse.jetty.server.Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
    server.setHandler(handler);
    server.start();
    server.join();
  }
}
