//! The shared library for people and releases:
//!
//!     zig build --release=safe                                   zig-out/lib/liburing-io.so
//!     zig build --release=safe -Dtarget=aarch64-linux-gnu -Dliburing=path/to/arm64/liburing.a
//!     zig build test
//!
//! `./dev` builds the same by one call of the compiler (`tools/build-shim.sh`), which starts quicker.

const std = @import("std");

pub fn build(b: *std.Build) void {
    const wanted = b.standardTargetOptions(.{ .default_target = .{ .os_tag = .linux } });
    const optimize = b.standardOptimizeOption(.{ .preferred_optimize_mode = .safe });

    // No libc whatever was asked for, and the plainest processor of its kind: one file serves all.
    const target = b.resolveTargetQuery(.{
        .cpu_arch = wanted.result.cpu.arch,
        .cpu_model = .baseline,
        .os_tag = .linux,
        .abi = .none,
    });
    const archive = b.option([]const u8, "liburing", "liburing.a of the target, 2.3 or newer") orelse
        b.fmt("/usr/lib/{s}-linux-gnu/liburing.a", .{@tagName(target.result.cpu.arch)});

    const library = b.addLibrary(.{
        .name = "uring-io",
        .linkage = .dynamic,
        .use_llvm = true,
        // The other linker does not follow the version script.
        .use_lld = true,
        .root_module = shim(b, target, optimize, archive),
    });
    library.setVersionScript(b.path("shim/shim.map"));
    library.bundle_ubsan_rt = false;
    b.installArtifact(library);

    const tests = b.addTest(.{ .use_llvm = true, .root_module = shim(b, target, .debug, archive) });
    b.step("test", "Run the shim's unit tests").dependOn(&b.addRunArtifact(tests).step);
}

fn shim(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.lang.Optimize,
    archive: []const u8,
) *std.Build.Module {
    const module = b.createModule(.{
        .root_source_file = b.path("shim/shim.zig"),
        .target = target,
        .optimize = optimize,
        .link_libc = false,
        .strip = optimize != .debug,
        .pic = true,
    });
    module.addObjectFile(.{ .cwd_relative = archive });
    return module;
}
