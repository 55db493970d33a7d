import java.lang.reflect.Field;

/** A field of Synthea's that is not public. */
final class Hidden<T> {
  private final Field field;

  Hidden(Class<?> owner, String name) {
    try {
      field = owner.getDeclaredField(name);
      field.setAccessible(true);
    } catch (ReflectiveOperationException error) {
      throw new IllegalStateException("this is another Synthea than the one that is pinned", error);
    }
  }

  /** The field of a class of {@code owner} that cannot be named. */
  static <T> Hidden<T> in(Class<?> owner, String inner, String name) {
    for (Class<?> one : owner.getDeclaredClasses()) {
      if (one.getSimpleName().equals(inner)) {
        return new Hidden<>(one, name);
      }
    }
    throw new IllegalStateException("this is another Synthea than the one that is pinned");
  }

  @SuppressWarnings("unchecked")
  T of(Object object) {
    try {
      return (T) field.get(object);
    } catch (IllegalAccessException error) {
      throw new IllegalStateException(error);
    }
  }

  void set(Object object, T value) {
    try {
      field.set(object, value);
    } catch (IllegalAccessException error) {
      throw new IllegalStateException(error);
    }
  }
}
