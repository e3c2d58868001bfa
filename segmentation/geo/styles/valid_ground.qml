<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.0" styleCategories="Symbology|MapTips">
  <renderer-v2 type="singleSymbol">
    <symbols>
      <symbol type="fill" name="0" alpha="1">
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="70,130,90,40"/>
          <prop k="outline_color" v="70,130,90,255"/>
          <prop k="outline_width" v="0.2"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <mapTip enabled="1">valid ground of window [% "id" %]</mapTip>
</qgis>
