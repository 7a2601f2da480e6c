"""Small MuJoCo models that have, between them, every feature that keeps something in mjData."""

from collections.abc import Mapping

__all__ = ["MODELS"]


def model(world: str, rest: str = "", option: str = "", head: str = "", size: str = "") -> str:
    return f"""
<mujoco>
  <compiler autolimits="true"/>
  <option timestep="0.002" {option}/>
  <size memory="20M" {size}/>
  {head}
  <worldbody>
    <geom name="floor" type="plane" size="5 5 .1"/>
    {world}
  </worldbody>
  {rest}
</mujoco>
"""


PENDULUM = """
<body name="pole" pos="0 0 1.2">
  <joint name="hinge" axis="0 1 0" damping=".02"/>
  <geom type="capsule" size=".03" fromto="0 0 0 .3 0 -.4"/>
  <site name="tip" pos=".3 0 -.4"/>
</body>
"""
MOTOR = '<actuator><motor name="push" joint="hinge"/></actuator>'
BOXES = """
<body name="low" pos="0 0 .12"><freejoint/><geom name="low" type="box" size=".1 .1 .1"/></body>
<body name="high" pos=".03 .01 .35"><freejoint/><geom name="high" type="box" size=".1 .1 .1"/></body>
"""
SLEEP = '<option><flag sleep="enable" island="enable"/></option>'
ARM = """
<body name="upper" pos="0 0 1">
  <joint name="shoulder" axis="0 1 0" range="-120 120"/>
  <geom type="capsule" size=".02" fromto="0 0 0 0 0 -.3"/>
  <site name="origin" pos=".03 0 -.1"/>
  <body name="fore" pos="0 0 -.3">
    <joint name="hinge" axis="0 1 0" range="-140 5"/>
    <geom type="capsule" size=".02" fromto="0 0 0 .2 0 -.2"/>
    <site name="insertion" pos=".06 0 -.05"/>
    <site name="tip" pos=".2 0 -.2"/>
  </body>
</body>
"""
TENDON = """
<tendon>
  <spatial name="line" range="0 1"><site site="origin"/><site site="insertion"/></spatial>
</tendon>
"""
SENSORS = """
<sensor>
  <accelerometer name="acceleration" site="tip"/>
  <framelinvel name="speed" objtype="site" objname="tip"/>
  <subtreeangmom name="momentum" body="pole"/>
  <jointpos name="angle" joint="hinge" noise=".1"/>
  <rangefinder name="range" site="tip" cutoff="3"/>
  <e_potential name="potential"/><e_kinetic name="kinetic"/>
  <clock name="clock"/>
</sensor>
"""
PID = """
<extension>
  <plugin plugin="mujoco.pid">
    <instance name="pid">
      <config key="kp" value="4"/><config key="ki" value="6"/><config key="kd" value=".3"/>
      <config key="slewmax" value="30"/><config key="imax" value="2"/>
    </instance>
  </plugin>
</extension>
"""
TOUCH = """
<extension><plugin plugin="mujoco.sensor.touch_grid"/></extension>
"""
SDF = """
<extension>
  <plugin plugin="mujoco.sdf.torus">
    <instance name="torus"><config key="radius1" value=".2"/><config key="radius2" value=".08"/></instance>
  </plugin>
</extension>
<asset><mesh name="torus"><plugin instance="torus"/></mesh></asset>
"""
EDGE = '<edge equality="true" damping=".01"/>'
BEND = '<elasticity young="1e4" poisson=".2" thickness=".01" elastic2d="bend" damping=".001"/>'
CLOTH = f"""
<flexcomp name="cloth" type="grid" count="5 5 1" spacing=".1 .1 .1" pos="0 0 .6" radius=".02" mass=".5"
  dim="2">
  {EDGE}
  <contact selfcollide="none"/>
</flexcomp>
<body name="ball" pos="0 0 .25"><freejoint/><geom type="sphere" size=".15"/></body>
"""
SOFT = """
<flexcomp name="soft" type="grid" count="3 3 3" spacing=".1 .1 .1" pos="0 0 .3" radius=".01" mass="1" dim="3">
  <elasticity young="5e3" poisson=".2" damping=".01"/>
  <contact selfcollide="none"/>
</flexcomp>
"""
ROPE = """
<flexcomp name="rope" type="grid" count="8 1 1" spacing=".08 .1 .1" pos="0 0 .5" radius=".02" mass=".3"
  dim="1">
  <edge equality="true"/><pin id="0"/>
</flexcomp>
"""
HELD = """
<body name="hand" mocap="true" pos="0 0 1.5">
  <geom type="sphere" size=".03" contype="0" conaffinity="0"/>
</body>
"""
WELDS = """
<equality>
  <weld name="grip" body1="hand" body2="high"/>
  <connect name="joined" body1="low" body2="high" anchor="0 0 .1" active="false"/>
</equality>
"""
GEARED = """
<body pos="1 0 1">
  <joint name="gear" axis="0 1 0"/><geom type="capsule" size=".03" fromto="0 0 0 0 0 -.3"/>
</body>
"""

MODELS: Mapping[str, str] = {
    "pendulum": model(PENDULUM, MOTOR),
    "runge-kutta": model(PENDULUM + BOXES, MOTOR, 'integrator="RK4"'),
    "implicit": model(PENDULUM + BOXES, MOTOR, 'integrator="implicit"'),
    "implicitfast, elliptic": model(PENDULUM + BOXES, MOTOR, 'integrator="implicitfast" cone="elliptic"'),
    "discrete": model(PENDULUM + BOXES, MOTOR, 'integrator="discrete"'),
    "discrete, tendon": model(
        ARM,
        TENDON.replace('range="0 1"', 'range=".2 .27" stiffness="50" damping="5"')
        + '<actuator><position tendon="line" kp="50" kv="1"/></actuator>',
        'integrator="discrete"',
    ),
    "projected Gauss-Seidel": model(PENDULUM + BOXES, MOTOR, 'solver="PGS" noslip_iterations="3"'),
    "conjugate gradients": model(PENDULUM + BOXES, MOTOR, 'solver="CG" jacobian="sparse"'),
    "islands": model(PENDULUM + BOXES, MOTOR, head='<option><flag island="enable"/></option>'),
    "sleep": model(PENDULUM + BOXES, MOTOR, head=SLEEP),
    "sleep from the start": model(
        PENDULUM + BOXES.replace('name="low" pos', 'name="low" sleep="init" pos', 1), MOTOR, head=SLEEP
    ),
    "sensors": model(
        PENDULUM, MOTOR + SENSORS, head='<option><flag energy="enable" fwdinv="enable"/></option>'
    ),
    "filtered actuator": model(
        PENDULUM,
        '<actuator><general joint="hinge" dyntype="filterexact" dynprm=".05" actearly="true"/></actuator>',
    ),
    "integrated velocity": model(
        PENDULUM, '<actuator><intvelocity joint="hinge" kp="2" actrange="-1 1"/></actuator>'
    ),
    "electric motor": model(
        PENDULUM,
        '<actuator><dcmotor joint="hinge" motorconst=".05" resistance="2" inductance=".01"'
        ' nominal="24 .5 300"/></actuator>',
    ),
    "controller with a state": model(
        PENDULUM, '<actuator><pid joint="hinge" kp="4" ki="6" kv=".3"/></actuator>'
    ),
    "spring that yields": model(PENDULUM.replace('damping=".02"', 'stiffness="2" springyield=".1"'), MOTOR),
    "slider and crank": model(
        ARM, '<actuator><general cranksite="tip" slidersite="origin" cranklength=".5"/></actuator>'
    ),
    "muscle on a tendon": model(
        ARM, TENDON + '<actuator><muscle tendon="line" lengthrange=".1 .6" force="30"/></actuator>'
    ),
    "tendon friction and limits": model(
        ARM,
        TENDON.replace('range="0 1"', 'range=".2 .27" frictionloss=".1" stiffness="5" damping="1"')
        + '<actuator><motor tendon="line"/></actuator>',
    ),
    "delayed actuator": model(
        PENDULUM, '<actuator><motor joint="hinge" delay=".01" nsample="8" interp="linear"/></actuator>'
    ),
    "delayed sensor": model(
        PENDULUM,
        MOTOR + '<sensor><jointpos joint="hinge" delay=".012" nsample="9" interp="cubic"/></sensor>',
    ),
    "sampled sensor": model(
        PENDULUM, MOTOR + '<sensor><jointvel joint="hinge" interval=".01" nsample="3"/></sensor>'
    ),
    "pid plugin": model(
        PENDULUM,
        '<actuator><plugin joint="hinge" plugin="mujoco.pid" instance="pid" actdim="2"/></actuator>',
        head=PID,
    ),
    "touch grid plugin": model(
        BOXES.replace('<geom name="low"', '<site name="pad" pos="0 0 .1" zaxis="0 0 -1"/><geom name="low"')
        + PENDULUM,
        MOTOR + '<sensor><plugin name="touch" plugin="mujoco.sensor.touch_grid" objtype="site" objname="pad">'
        '<config key="size" value="4 4"/><config key="fov" value="60 60"/><config key="gamma" value="0"/>'
        '<config key="nchannel" value="3"/></plugin></sensor>',
        head=TOUCH,
    ),
    "distance field plugin": model(
        PENDULUM + '<body pos="0 0 .3"><freejoint/>'
        '<geom type="sdf" mesh="torus"><plugin instance="torus"/></geom></body>',
        MOTOR,
        head=SDF,
    ),
    "equality and mocap": model(PENDULUM + BOXES + HELD, MOTOR + WELDS),
    "geared joints": model(
        PENDULUM + GEARED,
        MOTOR + '<equality><joint joint1="hinge" joint2="gear" polycoef="0 1.5 0 0 0"/></equality>',
    ),
    "keyframes": model(
        PENDULUM, MOTOR + '<keyframe><key name="up" qpos="1.2" qvel=".3" ctrl=".1"/></keyframe>'
    ),
    "cloth": model(CLOTH + PENDULUM, MOTOR),
    "cloth that bends": model(CLOTH.replace(EDGE, BEND) + PENDULUM, MOTOR),
    "cloth, sleep": model(CLOTH + PENDULUM, MOTOR, head=SLEEP),
    "soft body": model(SOFT + PENDULUM, MOTOR),
    "soft body, interpolated": model(SOFT.replace("dim", 'dof="trilinear" dim') + PENDULUM, MOTOR),
    "soft body, discrete": model(SOFT + PENDULUM, MOTOR, 'integrator="discrete"'),
    "soft body, incremental potential": model(
        SOFT + PENDULUM, MOTOR, 'integrator="discrete"', head='<option><flag ipc="enable"/></option>'
    ),
    "unstable": model(SOFT.replace("5e3", "2e4") + PENDULUM, MOTOR),
    "rope": model(ROPE + PENDULUM, MOTOR),
    "gravity compensation": model(PENDULUM.replace('"pole"', '"pole" gravcomp=".7"'), MOTOR),
    "in a fluid": model(PENDULUM, MOTOR, 'density="1000" viscosity=".01" wind="1 0 .2"'),
    "adhesion": model(
        PENDULUM + BOXES, MOTOR.replace("</act", '<adhesion body="high" ctrlrange="0 1" gain="20"/></act')
    ),
    "heights": model(
        PENDULUM + BOXES + '<geom type="hfield" hfield="hills" pos="0 0 .02"/>',
        MOTOR,
        head='<asset><hfield name="hills" nrow="3" ncol="3" size="1 1 .1 .1"'
        ' elevation="0 1 0 1 0 1 0 1 0"/></asset>',
    ),
    "user data": model(PENDULUM, MOTOR, size='nuserdata="4"'),
}
"""MJCF by what is special about it; each has a joint "hinge" and a site "tip"."""
