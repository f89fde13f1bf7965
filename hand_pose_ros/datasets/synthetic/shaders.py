"""The GLSL programs: vertex shaders of primitives, hands and the background, one fragment shader.

Many scenes are drawn with one call, each into its own layer of the picture stack. What belongs to a scene (camera,
lights, exposure) stands in one uniform block, SCENE_VECTORS vectors each.
"""

from __future__ import annotations

from typing import Final

from hand_pose_ros.datasets.synthetic.spec import LOSS_LEVELS

# Scenes drawn at once: their block stays within the 16 KiB that every OpenGL grants.
MAX_SCENES: Final = 64
SCENE_VECTORS: Final = 10
# The fourth colour channel: the label, and above these bits the loss.
LABEL_BITS: Final = 3

_HEAD = f"""
#version 410
#define SCENE_VECTORS {SCENE_VECTORS}
#define MAX_SCENES {MAX_SCENES}
#define LABELS {1 << LABEL_BITS}.0
#define LOSS_LEVELS {LOSS_LEVELS}.0
"""
# 0: projection x scale, x shift, y scale, y shift; 1: gain, inverse gamma; 2: ambient; 3: background (as seen);
# 4 to 6: directions to the lights; 7 to 9: their colours.
_SCENES = """
layout(std140) uniform Scenes { vec4 scenes[MAX_SCENES * SCENE_VECTORS]; };
"""
_VERTEX_HEAD = (
    _HEAD
    + """
#extension GL_ARB_shader_viewport_layer_array : require
"""
    + _SCENES
    + """
uniform vec2 depth_range;  // of the projection: its two numbers
out vec3 v_position; out vec3 v_normal; out vec3 v_texture; out vec3 v_base;
flat out vec3 v_second; flat out vec4 v_surface; flat out vec2 v_pattern; flat out float v_label; flat out int v_scene;
flat out float v_loss;
void place(vec3 world, int scene) {
    vec4 p = scenes[scene * SCENE_VECTORS];
    v_position = world; v_scene = scene; gl_Layer = scene;
    gl_Position = vec4(p.x * world.x + p.y * world.z, p.z * world.y + p.w * world.z,
                       depth_range.x * world.z + depth_range.y, world.z);
}
"""
)

PRIMITIVE_VERTEX = (
    _VERTEX_HEAD
    + """
in vec3 in_position; in vec3 in_normal; in float in_t;
in vec4 in_row0; in vec4 in_row1; in vec4 in_row2;
in vec4 in_shape;    // taper, bulge, cap, label + loss / 2
in vec4 in_base;     // rgb, pattern
in vec4 in_second;   // rgb, cycles per metre
in vec4 in_surface;  // noise, specular, offset, scene
void main() {
    float s = 1.0 + (in_shape.x - 1.0) * in_t + in_shape.y * sin(3.14159265 * in_t);
    vec3 local = vec3(in_position.xy, in_position.z * in_shape.z) * s + vec3(0.0, 0.0, in_t);
    vec3 a = in_row0.xyz, b = in_row1.xyz, c = in_row2.xyz;
    // Normals go with the cofactors of the linear part (its inverse transpose but for a factor).
    v_normal = vec3(dot(cross(b, c), in_normal), dot(cross(c, a), in_normal), dot(cross(a, b), in_normal));
    v_texture = local * sqrt(a * a + b * b + c * c);
    v_base = in_base.rgb; v_second = in_second.rgb; v_surface = in_surface;
    v_pattern = vec2(in_base.a, in_second.a);
    // Labels and losses share a float: whole part and fraction.
    v_label = floor(in_shape.w); v_loss = 2.0 * fract(in_shape.w);
    place(vec3(dot(a, local), dot(b, local), dot(c, local)) + vec3(in_row0.w, in_row1.w, in_row2.w),
          int(in_surface.w + 0.5));
}
"""
)

HAND_VERTEX = (
    _VERTEX_HEAD
    + """
uniform sampler2D surfaces;  // one row of positions per hand
uniform isampler2D fans;     // per vertex (column): the other two corners of its faces, two faces per texel
uniform int row_offset; uniform int fan_texels; uniform float hand_label;
in vec3 in_rest;
in vec4 in_tint;     // palm, nail, knuckle, crease
in vec4 in_back; in vec4 in_palm; in vec4 in_nail;  // rgb of the skin; knuckles, creases, scene
in vec4 in_surface;  // noise, specular, offset, -
vec3 at(int vertex) { return texelFetch(surfaces, ivec2(vertex, row_offset + gl_InstanceID), 0).xyz; }
void main() {
    vec3 here = at(gl_VertexID), normal = vec3(0.0);
    for (int i = 0; i < fan_texels; ++i) {
        ivec4 corners = texelFetch(fans, ivec2(gl_VertexID, i), 0);
        normal += cross(at(corners.x) - here, at(corners.y) - here) + cross(at(corners.z) - here, at(corners.w) - here);
    }
    v_normal = normal;
    vec3 color = mix(in_back.rgb, in_palm.rgb, in_tint.x);
    color *= mix(vec3(1.0), vec3(0.95, 0.72, 0.68), in_tint.z * in_back.a);
    color *= 1.0 - 0.4 * in_tint.w * in_palm.a;
    v_base = mix(color, in_nail.rgb, in_tint.y);
    v_second = v_base * vec3(0.95, 0.87, 0.84);
    v_texture = in_rest;
    v_surface = in_surface; v_pattern = vec2(4.0, 60.0); v_label = hand_label; v_loss = 0.0;
    place(here, int(in_nail.a + 0.5));
}
"""
)

BACKGROUND_VERTEX = (
    _HEAD
    + """
#extension GL_ARB_shader_viewport_layer_array : require
flat out int v_scene;
void main() {
    // One triangle over the whole picture, a hair nearer than the far plane.
    gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.999999, 1.0);
    v_scene = gl_InstanceID; gl_Layer = gl_InstanceID;
}
"""
)

BACKGROUND_FRAGMENT = (
    _HEAD
    + _SCENES
    + """
flat in int v_scene;
layout(location = 0) out vec4 out_color; layout(location = 1) out float out_depth;
void main() {
    out_color = vec4(scenes[v_scene * SCENE_VECTORS + 3].rgb, 0.0);
    out_depth = 0.0;
}
"""
)

FRAGMENT = (
    _HEAD
    + _SCENES
    + """
in vec3 v_position; in vec3 v_normal; in vec3 v_texture; in vec3 v_base;
flat in vec3 v_second; flat in vec4 v_surface; flat in vec2 v_pattern; flat in float v_label; flat in int v_scene;
flat in float v_loss;
layout(location = 0) out vec4 out_color; layout(location = 1) out float out_depth;
float hash(vec3 p) {
    p = fract(p * vec3(0.1031, 0.1030, 0.0973));
    p += dot(p, p.yxz + 33.33);
    return fract((p.x + p.y) * p.z);
}
float value_noise(vec3 p) {
    vec3 i = floor(p), f = p - i;
    f = f * f * (3.0 - 2.0 * f);
    vec4 near = vec4(hash(i), hash(i + vec3(1, 0, 0)), hash(i + vec3(0, 1, 0)), hash(i + vec3(1, 1, 0)));
    vec4 far = vec4(hash(i + vec3(0, 0, 1)), hash(i + vec3(1, 0, 1)), hash(i + vec3(0, 1, 1)), hash(i + vec3(1, 1, 1)));
    vec4 across = mix(near, far, f.z);
    vec2 along = mix(across.xy, across.zw, f.y);
    return mix(along.x, along.y, f.x);
}
float pattern(vec3 p, float noise) {
    if (v_pattern.x < 0.5) return 0.0;
    if (v_pattern.x < 1.5) return step(0.5, fract(p.x + p.y * 0.7 + p.z * 0.3));
    if (v_pattern.x < 2.5) return mod(floor(p.x + 0.01) + floor(p.y + 0.01) + floor(p.z + 0.01), 2.0);
    if (v_pattern.x < 3.5) return 0.5 + 0.5 * sin(p.y * 0.6 + p.x * 0.2);
    return smoothstep(0.35, 0.75, noise);
}
void main() {
    int scene = v_scene * SCENE_VECTORS;
    vec3 p = v_texture * v_pattern.y + v_surface.z;
    float noise = value_noise(p * 2.0);
    vec3 albedo = mix(v_base, v_second, pattern(p, noise));
    albedo *= 1.0 + v_surface.x * 2.0 * (noise - 0.5);
    vec3 view = normalize(-v_position);
    vec3 normal = normalize(v_normal);
    if (dot(normal, view) < 0.0) normal = -normal;
    vec3 light = scenes[scene + 2].rgb * (0.75 - 0.25 * normal.y), shine = vec3(0.0);
    for (int i = 0; i < 3; ++i) {
        vec3 direction = scenes[scene + 4 + i].xyz, color = scenes[scene + 7 + i].rgb;
        light += color * max(dot(normal, direction), 0.0);
        float s = max(dot(normal, normalize(direction + view)), 0.0);
        s = s * s * s; s *= s; s *= s;
        shine += color * (s * s);  // to the power of 24
    }
    vec4 exposure = scenes[scene + 1];
    vec3 color = (albedo * light + v_surface.y * shine) * exposure.rgb;
    // Light that is not sent straight back gets lost the more the surface is turned away.
    float loss = v_loss * (0.55 + 0.45 * (1.0 - dot(normal, view)));
    float tag = v_label + LABELS * floor(min(loss, 1.0) * (LOSS_LEVELS - 1.0) + 0.5);
    out_color = vec4(pow(clamp(color, 0.0, 1.0), vec3(exposure.a)), tag / 255.0);
    out_depth = v_position.z;
}
"""
)
