"""The GLSL programs: one vertex shader for primitives, one for hands, one fragment shader for both."""

from __future__ import annotations

PRIMITIVE_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 in_position; in vec3 in_normal; in float in_t;
in vec4 in_row0; in vec4 in_row1; in vec4 in_row2;
in vec4 in_shape;    // taper, bulge, cap, label
in vec4 in_base;     // rgb, pattern
in vec4 in_second;   // rgb, cycles per metre
in vec4 in_surface;  // noise, specular, offset, -
out vec3 v_position; out vec3 v_normal; out vec3 v_texture; out vec3 v_base;
flat out vec3 v_second; flat out vec4 v_surface; flat out vec2 v_pattern; flat out float v_label;
void main() {
    float s = 1.0 + (in_shape.x - 1.0) * in_t + in_shape.y * sin(3.14159265 * in_t);
    vec3 local = vec3(in_position.xy, in_position.z * in_shape.z) * s + vec3(0.0, 0.0, in_t);
    vec3 a = in_row0.xyz, b = in_row1.xyz, c = in_row2.xyz;
    vec3 world = vec3(dot(a, local), dot(b, local), dot(c, local)) + vec3(in_row0.w, in_row1.w, in_row2.w);
    // Normals go with the cofactors of the linear part (its inverse transpose but for a factor).
    v_normal = vec3(dot(cross(b, c), in_normal), dot(cross(c, a), in_normal), dot(cross(a, b), in_normal));
    v_texture = local * sqrt(a * a + b * b + c * c);
    v_position = world;
    v_base = in_base.rgb; v_second = in_second.rgb; v_surface = in_surface;
    v_pattern = vec2(in_base.a, in_second.a); v_label = in_shape.w;
    gl_Position = projection * vec4(world, 1.0);
}
"""

HAND_VERTEX = """
#version 330
uniform mat4 projection;
uniform vec3 skin_back; uniform vec3 skin_palm; uniform vec3 skin_nail;
uniform vec2 skin_tint;     // knuckles, creases
uniform vec4 skin_surface;  // noise, specular, offset, -
uniform float hand_label;
in vec3 in_position; in vec3 in_normal; in vec3 in_rest;
in vec4 in_tint;  // palm, nail, knuckle, crease
out vec3 v_position; out vec3 v_normal; out vec3 v_texture; out vec3 v_base;
flat out vec3 v_second; flat out vec4 v_surface; flat out vec2 v_pattern; flat out float v_label;
void main() {
    vec3 color = mix(skin_back, skin_palm, in_tint.x);
    color *= mix(vec3(1.0), vec3(0.95, 0.72, 0.68), in_tint.z * skin_tint.x);
    color *= 1.0 - 0.4 * in_tint.w * skin_tint.y;
    v_base = mix(color, skin_nail, in_tint.y);
    v_second = v_base * vec3(0.95, 0.87, 0.84);
    v_position = in_position; v_normal = in_normal; v_texture = in_rest;
    v_surface = skin_surface; v_pattern = vec2(4.0, 60.0); v_label = hand_label;
    gl_Position = projection * vec4(in_position, 1.0);
}
"""

FRAGMENT = """
#version 330
uniform vec3 light_direction[3]; uniform vec3 light_color[3]; uniform vec3 ambient;
uniform vec3 gain; uniform float inverse_gamma;
in vec3 v_position; in vec3 v_normal; in vec3 v_texture; in vec3 v_base;
flat in vec3 v_second; flat in vec4 v_surface; flat in vec2 v_pattern; flat in float v_label;
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
    vec3 p = v_texture * v_pattern.y + v_surface.z;
    float noise = value_noise(p * 2.0);
    vec3 albedo = mix(v_base, v_second, pattern(p, noise));
    albedo *= 1.0 + v_surface.x * 2.0 * (noise - 0.5);
    vec3 view = normalize(-v_position);
    vec3 normal = normalize(v_normal);
    if (dot(normal, view) < 0.0) normal = -normal;
    vec3 light = ambient * (0.75 - 0.25 * normal.y), shine = vec3(0.0);
    for (int i = 0; i < 3; ++i) {
        light += light_color[i] * max(dot(normal, light_direction[i]), 0.0);
        shine += light_color[i] * pow(max(dot(normal, normalize(light_direction[i] + view)), 0.0), 24.0);
    }
    vec3 color = (albedo * light + v_surface.y * shine) * gain;
    out_color = vec4(pow(clamp(color, 0.0, 1.0), vec3(inverse_gamma)), v_label / 255.0);
    out_depth = v_position.z;
}
"""
