package io.github.deepep4j.internal.nvshmem;

import java.io.IOException;
import java.io.InputStream;

/**
 * Defines the classes of one package, and of those below it, once more; all others are its
 * parent's. So their native methods can be bound to another library than the parent's are.
 */
final class CopyLoader extends ClassLoader {
  static {
    registerAsParallelCapable();
  }

  private final String prefix;
  private final ClassLoader parent;

  /**
   * Makes a loader.
   *
   * @param packageName whose classes are copied
   * @param parent has their class files, and is asked for everything else
   */
  CopyLoader(String packageName, ClassLoader parent) {
    super("deepep4j-nvshmem", parent);
    this.prefix = packageName + ".";
    this.parent = parent;
  }

  @Override
  protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
    if (!name.startsWith(prefix)) {
      return super.loadClass(name, resolve);
    }
    synchronized (getClassLoadingLock(name)) {
      Class<?> found = findLoadedClass(name);
      return found == null ? define(name) : found;
    }
  }

  private Class<?> define(String name) throws ClassNotFoundException {
    String file = name.replace('.', '/') + ".class";
    try (InputStream in = parent.getResourceAsStream(file)) {
      if (in == null) {
        throw new ClassNotFoundException(name);
      }
      byte[] bytes = in.readAllBytes();
      return defineClass(name, bytes, 0, bytes.length, CopyLoader.class.getProtectionDomain());
    } catch (IOException e) {
      throw new ClassNotFoundException(name, e);
    }
  }
}
