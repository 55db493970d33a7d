package org.mitre.synthea.helpers;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonParseException;
import com.google.gson.TypeAdapter;
import com.google.gson.TypeAdapterFactory;
import com.google.gson.internal.Streams;
import com.google.gson.reflect.TypeToken;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonWriter;
import java.util.HashMap;
import java.util.Map;

/**
 * Reads states and conditions of modules, in place of Synthea's class of this name. Synthea makes a Gson for each state, and each
 * finds out anew by reflection what states and conditions are made of; here it is found out once. The states are the same.
 */
public final class InnerClassTypeAdapterFactory<T> implements TypeAdapterFactory {
  private static final Map<TypeToken<?>, TypeAdapter<?>> KNOWN = new HashMap<>();

  private final Class<T> base;
  private final String label; // the name of the field that names the class

  private InnerClassTypeAdapterFactory(Class<T> base, String label) {
    this.base = base;
    this.label = label;
  }

  public static <T> InnerClassTypeAdapterFactory<T> of(Class<T> base, String label) {
    return new InnerClassTypeAdapterFactory<>(base, label);
  }

  @Override
  public <R> TypeAdapter<R> create(Gson gson, TypeToken<R> type) {
    if (type.getRawType() == base) {
      return new Labelled<R>(gson).nullSafe();
    }
    return base.isAssignableFrom(type.getRawType()) ? known(gson, type) : null;
  }

  @SuppressWarnings("unchecked")
  private <R> TypeAdapter<R> known(Gson gson, TypeToken<R> type) {
    synchronized (KNOWN) { // nobody sees one that is not whole
      TypeAdapter<R> found = (TypeAdapter<R>) KNOWN.get(type);
      if (found == null) {
        found = gson.getDelegateAdapter(this, type);
        KNOWN.put(type, found);
      }
      return found;
    }
  }

  private final class Labelled<R> extends TypeAdapter<R> {
    private final Gson gson;

    Labelled(Gson gson) {
      this.gson = gson;
    }

    @Override
    @SuppressWarnings("unchecked")
    public R read(JsonReader in) {
      JsonElement element = Streams.parse(in);
      JsonElement name = element.getAsJsonObject().remove(label);
      if (name == null) {
        throw new JsonParseException(element + " has no " + label);
      }
      try {
        Class<?> inner = Class.forName(base.getName() + "$" + name.getAsString().replaceAll("\\s", ""));
        return (R) known(gson, TypeToken.get(inner)).fromJsonTree(element);
      } catch (ClassNotFoundException error) {
        throw new JsonParseException(name + " is no " + label, error);
      }
    }

    @Override
    public void write(JsonWriter out, R value) {
      throw new UnsupportedOperationException();
    }
  }
}
